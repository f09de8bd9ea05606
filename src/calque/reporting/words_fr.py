"""Les mots d'un rapport en français ; mêmes clés qu'en anglais."""

# ruff: noqa: E501 - sentences

from __future__ import annotations

_WORDS: dict[str, str] = {
    "title": "Rapport de segmentation",
    "kicker.run": "Rapport d’entraînement et de validation",
    "kicker.scores": "Rapport d’évaluation",
    "skip": "Aller aux résultats",
    "contents": "Sommaire",
    "warning": (
        "Logiciel de recherche. N’est pas un dispositif médical : ne pas l’utiliser pour le diagnostic ou le traitement."
    ),
    "lead.run": "{plan} entraîné sur {train} de {dataset}, validé sur {n} qu’il n’avait pas vus.",
    "lead.network": "Un U-Net {kind} {dimensions}-D",
    "kind.plain": "classique",
    "kind.residual": "à encodeur résiduel",
    "lead.folds": "{plan} entraîné en {folds} plis sur {dataset}, validé sur {n} que chaque pli n’avait pas vus.",
    "lead.scores": "Masques prédits de {n} comparés à la vérité terrain.",
    "cases": "{n} cas",
    "cases.one": "{n} cas",
    "cases.title": "Cas",
    "patients": "{n} patients",
    "patients.title": "Patients",
    "patients.one": "{n} patient",
    "mean_of": "{metric}, moyenne des classes",
    "interval": "intervalle à {level}",
    "interval.of": "intervalle à {level} : {low} à {high}",
    "interval.none": "pas d’intervalle : un seul patient",
    "interval.one": "Pas d’intervalles : un seul patient ne dit rien des autres.",
    "interval.how": (
        "Intervalles : bootstrap ({method}) à {level} de la moyenne, {resamples} tirages de patients entiers "
        "(graine {seed})."
    ),
    "interval.hall": "Intervalles : à {level}, de la moyenne sur les cas, par patient : {method}.",
    "interval.few": (
        "Les intervalles peuvent être trop étroits ({n}) : ce qui touche moins de {share} des patients peut ne pas figurer "
        "parmi ceux-ci, et aucune méthode ne peut le savoir."
    ),
    "bootstrap.hall": "t de Student, corrigé de l’asymétrie (Hall 1992)",
    "bootstrap.percentile": "percentiles",
    "bootstrap.bca": "BCa",
    "bootstrap.bca_expanded": "BCa, élargi pour les petits échantillons",
    "findings": "Tout n’a pas été évalué",
    "findings.missing": "Sans prédiction",
    "findings.unexpected": "Sans vérité terrain",
    "findings.failed": "N’ont pas pu être évalués",
    "nav.summary": "Résumé",
    "summary": "Résultats par classe",
    "summary.caption": "Moyenne sur les cas, son intervalle au-dessous",
    "summary.all": "Toutes les valeurs",
    "summary.all.caption": "Toutes les métriques, par classe",
    "foreground": "Moyenne des classes",
    "mean_part": "moyenne",
    "class": "Classe",
    "region": "région",
    "metric": "Métrique",
    "mean": "Moyenne",
    "std": "Écart type",
    "median": "Médiane",
    "quartiles": "Quartiles",
    "undefined": "Non définis",
    "absent": "Absents",
    "unknown": "Non annotés",
    "counts": (
        "n : cas qui ont une valeur. Non définis : l’un des deux masques est vide et la métrique n’a pas de valeur ; "
        "une distance moyenne se lit avec ce nombre en regard. Absents : aucun des deux masques ne contient la "
        "classe ; ces cas n’entrent dans aucune moyenne. Non annotés : la vérité du cas ne dit pas où est la classe."
    ),
    "better.higher": "plus haut est meilleur",
    "better.lower": "plus bas est meilleur",
    "better.zero": "zéro est l’idéal",
    "better.neither": "",
    "distributions": "Dispersion des cas",
    "distributions.alt": "{metric} de chaque cas par classe, avec médiane et quartiles : {figures}.",
    "distributions.figure": "{name} médiane {median}, quartiles {q25} à {q75}",
    "distributions.note": "Chaque point est un cas ; la boîte va d’un quartile à l’autre, son trait est la médiane.",
    "groups": "Résultats par sous-groupe",
    "groups.caption": "Moyenne des classes sur les cas de chaque sous-groupe, son intervalle au-dessous",
    "groups.column": "Sous-groupe selon",
    "groups.value": "Valeur",
    "groups.none": "non renseigné",
    "groups.note": (
        "Un écart entre sous-groupes peut venir du hasard ou d’autres différences entre eux ; il se lit avec le nombre de "
        "cas et l’intervalle. Les nombres sont coupés à leurs tiers."
    ),
    "flags": "Remarques",
    "flag.missed": "{name} manqué",
    "flag.spurious": "{name} à tort",
    "agreement": "Accord des volumes",
    "agreement.mean": "moyenne des deux volumes ({unit})",
    "agreement.difference": "prédit − vrai ({unit})",
    "agreement.alt": (
        "Graphe de Bland et Altman de {name}, {n} : écart moyen {bias} {unit}, limites d’agrément {low} à {high} {unit}."
    ),
    "agreement.note": "{n} ; biais {bias} {unit} ({interval}) ; limites d’agrément {low} à {high} {unit}",
    "agreement.how": (
        "Bland et Altman (1986) : le trait plein est l’écart moyen, avec son intervalle en aplat ; les tirets sont à 1,96 "
        "écart type. Les cas où aucun masque ne contient la classe sont laissés de côté."
    ),
    "calibration": "Calibration",
    "calibration.predicted": "probabilité prédite",
    "calibration.observed": "part de voxels de la classe",
    "calibration.figure": "{name} ECE {error}, voxels mis en commun",
    "calibration.alt": "Part des voxels de chaque classe selon leur probabilité prédite : {figures}.",
    "calibration.note": (
        "Sur les tirets, les probabilités disent vrai ; au-dessous, le modèle est trop sûr de lui. Les gros points "
        "comptent beaucoup de voxels. Les voxels sont ceux de la boîte de la classe, élargie d’un voxel, tous cas "
        "confondus."
    ),
    "card": "Fiche du modèle",
    "card.dataset": "A appris sur",
    "card.cases": "Cas d’apprentissage",
    "card.folds": "Membres",
    "card.steps": "Pas",
    "card.time": "Durée d’entraînement",
    "card.created": "Fait le",
    "card.software": "Logiciels",
    "card.seed": "Graine",
    "card.limits": "Limites",
    "card.notes": "Notes sur le modèle",
    "pictures": "Meilleur cas, cas médian, pire cas et cas signalés",
    "pictures.flagged": "Signalé",
    "pictures.note": (
        "Les coupes qui contiennent le plus d’erreurs, dans trois plans, vues selon la convention radiologique (la "
        "droite du patient est à gauche). Cas classés par {metric}, moyenne des classes."
    ),
    "pictures.note.flat": "Cas classés par {metric}, moyenne des classes.",
    "pictures.best": "Meilleur",
    "pictures.median": "Médian",
    "pictures.worst": "Pire",
    "pictures.slice": "{plane}, coupe {number}",
    "pictures.scan": "Image",
    "pictures.masks": "Prédiction en aplat, vérité en contour",
    "pictures.errors": "Erreurs",
    "pictures.alt.scan": "Image du cas {case}, coupe {plane} {slice}",
    "pictures.alt.masks": "Coupe {plane} {slice} du cas {case} : prédiction en aplat, vérité en contour",
    "pictures.alt.errors": (
        "Coupe {plane} {slice} du cas {case} : {over} pixels prédits à tort, {missed} manqués, {confused} attribués à "
        "une autre classe"
    ),
    "pictures.failed": "Les images de ce cas n’ont pas pu être dessinées : {error}",
    "plane.axial": "axiale",
    "plane.coronal": "coronale",
    "plane.sagittal": "sagittale",
    "plane.picture": "image",
    "side.R": "D", "side.L": "G", "side.A": "A", "side.P": "P", "side.S": "S", "side.I": "I",
    "error.over": "prédit là où la vérité ne contient rien",
    "error.missed": "manqué",
    "error.confused": "autre classe",
    "table": "Tous les cas",
    "table.caption": "Valeurs par cas, {metric} le plus bas d’abord",
    "table.sort": "Cliquer sur un en-tête pour trier.",
    "table.filter": "Montrer les lignes avec",
    "table.shown": "{{n}} cas sur {{all}}",
    "case": "Cas",
    "patient": "Patient",
    "curves": "Entraînement",
    "curves.alt": "Perte d’entraînement et Dice de validation au cours du temps ; dernière validation : {figures}.",
    "curves.alt.none": "Perte d’entraînement au cours du temps.",
    "curves.loss": "Perte d’entraînement",
    "curves.dice": "Dice de validation",
    "curves.minutes": "minutes",
    "curves.note": (
        "{fold} : {steps} pas en {time}. Pendant l’entraînement, le Dice est mesuré sur quelques cas, recouvrements "
        "mis en commun ; il diffère des valeurs ci-dessus."
    ),
    "plan": "Le plan et ses raisons",
    "plan.caption": "Les décisions et leurs raisons",
    "plan.what": "Décision",
    "plan.value": "Valeur",
    "plan.why": "Raison",
    "check": "Vérification des données",
    "check.ok": "{n} vérifiés ; rien à signaler.",
    "check.found": "{n} vérifiés : erreurs {errors}, avertissements {warnings}.",
    "check.caption": "Constats par genre",
    "check.kind": "Constat",
    "check.severity": "Gravité",
    "check.count": "Nombre",
    "check.examples": "Par exemple",
    "severity.error": "erreur",
    "severity.warning": "avertissement",
    "compare.title": "Comparaison de modèles",
    "compare.lead": "{models} modèles sur les mêmes {n}, chacun comparé à la même vérité terrain.",
    "compare.left": "Non évalués par tous les modèles, laissés de côté",
    "compare.ranks": "Lequel est meilleur, et avec quelle assurance",
    "compare.ranks.caption": "Moyenne des classes sur les cas où chaque modèle a une valeur",
    "compare.ranks.note": (
        "Premier des tirages : combien de fois le modèle arrive premier quand les patients sont tirés de nouveau. Près de "
        "100 %, l’ordre est sûr ; près d’un partage égal, il tient au hasard."
    ),
    "compare.model": "Modèle",
    "compare.interval": "Intervalle",
    "compare.rank": "Rang",
    "compare.first": "Premier des tirages",
    "compare.size": "{metric}, en valeur absolue",
    "compare.differences": "Différences appariées",
    "compare.differences.caption": "Chaque paire de modèles, métrique et classe",
    "compare.difference": "Différence",
    "compare.holm": "p (Holm)",
    "compare.alt": "Différences de {metric} avec leurs intervalles : {figures}.",
    "compare.how": (
        "Les différences sont prises cas par cas. Intervalles : à {level}, de la moyenne, par patient ({method}). Rangs : "
        "{resamples} tirages de patients entiers (graine {seed}). p : test des rangs signés de Wilcoxon, bilatéral, sur les "
        "différences moyennes des patients ; p (Holm) est corrigé sur toutes les paires de modèles et toutes les classes "
        "d’une métrique. Non définis : cas où l’un des deux modèles n’a pas de valeur. Les erreurs signées sont comparées "
        "par leur ampleur. En gras : moins de 0,05."
    ),
    "compare.again": "Cette comparaison",
    "compare.of": "{what} : {which}",
    "methods": "Comment lire ces valeurs",
    "methods.caption": "Métriques ; P est la prédiction, T la vérité",
    "methods.definition": "Définition",
    "methods.direction": "Sens",
    "methods.pixels": (
        "Rien ne dit la taille d’un pixel de ces images : longueurs et tolérances sont en pixels, les volumes "
        "en milliers de pixels."
    ),
    "methods.tolerance": "Tolérance du NSD et de l’IoU des bords : {tolerances}.",
    "methods.border": (
        "La surface d’un masque est faite de ses voxels de bord : ceux dont un voisin par une face est hors du masque. "
        "NSD (aire) pondère des éléments de surface par leur aire ; ses valeurs diffèrent par définition."
    ),
    "methods.objects": (
        "Un objet est fait de voxels qui se touchent par une face, une arête ou un coin ; deux objets se correspondent un "
        "à un au-dessus d’un IoU de {threshold}."
    ),
    "methods.resampled": "Rééchantillonnés sur la grille de la vérité, au plus proche voisin : {cases}.",
    "reproduce": "Versions et reproduction",
    "reproduce.report": "Ce rapport",
    "reproduce.train": "Cet entraînement",
    "reproduce.scores": "Ces valeurs",
    "reproduce.versions": "Versions",
    "reproduce.written": "Rédigé le",
    "reproduce.made": "Valeurs calculées avec Calque {version}.",
    "between": "{low} à {high}",
    "yes": "oui",
    "no": "non",
    "none": "aucun",
    "metric.dice": "Dice",
    "metric.iou": "IoU",
    "metric.precision": "Précision",
    "metric.recall": "Rappel",
    "metric.specificity": "Spécificité",
    "metric.hd": "HD",
    "metric.hd95": "HD95",
    "metric.assd": "ASSD",
    "metric.nsd": "NSD",
    "metric.nsd_area": "NSD (aire)",
    "metric.boundary_iou": "IoU des bords",
    "metric.cldice": "clDice",
    "metric.lesion_precision": "Précision par objet",
    "metric.lesion_recall": "Rappel par objet",
    "metric.lesion_f1": "F1 par objet",
    "metric.panoptic_quality": "Qualité panoptique",
    "metric.ece": "ECE",
    "metric.brier": "Brier",
    "metric.percentile": "HD{p}",
    "metric.volume_predicted_ml": "Volume prédit",
    "metric.volume_truth_ml": "Volume vrai",
    "metric.volume_error_ml": "Erreur de volume",
    "metric.volume_error_relative": "Erreur relative de volume",
    "definition.dice": "2|P∩T| / (|P|+|T|)",
    "definition.iou": "|P∩T| / |P∪T|",
    "definition.precision": "|P∩T| / |P|",
    "definition.recall": "|P∩T| / |T|, aussi appelé sensibilité",
    "definition.specificity": "part des voxels hors de T qui sont hors de P ; dépend du champ de vue",
    "definition.hd": "distance de Hausdorff : la plus grande distance d’une surface à l’autre",
    "definition.hd95": "le plus grand des deux 95es percentiles orientés des distances entre surfaces",
    "definition.assd": "distance moyenne sur les voxels de bord des deux surfaces",
    "definition.nsd": "part des voxels de bord des deux surfaces qui sont à moins de la tolérance de l’autre surface",
    "definition.nsd_area": "part de l’aire des deux surfaces qui est à moins de la tolérance de l’autre surface",
    "definition.boundary_iou": (
        "IoU des voxels de chaque masque à moins de la tolérance de son propre bord (Cheng et al. 2021)"
    ),
    "definition.cldice": (
        "Dice des lignes centrales : moyenne harmonique de la part de celle de P dans T et de celle de T dans P (Shit et "
        "al. 2021)"
    ),
    "definition.lesion_precision": "part des objets prédits qui correspondent à un vrai",
    "definition.lesion_recall": "part des vrais objets qui correspondent à un prédit",
    "definition.lesion_f1": "deux fois les paires appariées, par les objets des deux masques",
    "definition.panoptic_quality": (
        "somme des IoU des objets appariés, par le nombre moyen d’objets (Kirillov et al. 2019)"
    ),
    "definition.ece": (
        "erreur de calibration attendue dans la boîte de la classe : écart moyen entre probabilité et fréquence, 15 "
        "intervalles"
    ),
    "definition.brier": "carré moyen de l’écart entre probabilité et vérité dans la boîte de la classe",
    "definition.percentile": "le plus grand des deux percentiles orientés ({p}) des distances entre surfaces",
    "definition.volume_predicted_ml": "|P| fois le volume d’un voxel",
    "definition.volume_truth_ml": "|T| fois le volume d’un voxel",
    "definition.volume_error_ml": "volume prédit moins volume vrai",
    "definition.volume_error_relative": "(|P|-|T|) / |T|",
}  # fmt: skip


def _typeset(text: str) -> str:
    """No line breaks before double punctuation."""
    return text.replace(" :", "\u00a0:").replace(" ;", "\u202f;")


FRENCH: dict[str, str] = {key: _typeset(text) for key, text in _WORDS.items()}

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
    "patients.one": "{n} patient",
    "mean_of": "{metric}, moyenne des classes",
    "interval": "intervalle à {level}",
    "interval.of": "intervalle à {level} : {low} à {high}",
    "interval.none": "pas d’intervalle : un seul patient",
    "interval.how": (
        "Intervalles : bootstrap ({method}) à {level} de la moyenne, {resamples} tirages de patients entiers "
        "(graine {seed})."
    ),
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
    "counts": (
        "n : cas qui ont une valeur. Non définis : l’un des deux masques est vide et la métrique n’a pas de valeur ; "
        "une distance moyenne se lit avec ce nombre en regard. Absents : aucun des deux masques ne contient la "
        "classe ; ces cas n’entrent dans aucune moyenne."
    ),
    "better.higher": "plus haut est meilleur",
    "better.lower": "plus bas est meilleur",
    "better.zero": "zéro est l’idéal",
    "better.neither": "",
    "distributions": "Dispersion des cas",
    "distributions.alt": "{metric} de chaque cas par classe, avec médiane et quartiles : {figures}.",
    "distributions.figure": "{name} médiane {median}, quartiles {q25} à {q75}",
    "distributions.note": "Chaque point est un cas ; la boîte va d’un quartile à l’autre, son trait est la médiane.",
    "pictures": "Meilleur cas, cas médian et pire cas",
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
    "methods": "Comment lire ces valeurs",
    "methods.caption": "Métriques ; P est la prédiction, T la vérité",
    "methods.definition": "Définition",
    "methods.direction": "Sens",
    "methods.tolerance": "Tolérance du NSD : {tolerances}.",
    "methods.border": (
        "La surface d’un masque est faite de ses voxels de bord : ceux dont un voisin par une face est hors du masque. "
        "NSD (aire) pondère des éléments de surface par leur aire ; ses valeurs diffèrent par définition."
    ),
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

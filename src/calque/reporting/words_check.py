"""The words of the page on a check, in each language, with the same keys."""

# ruff: noqa: E501 - sentences

from __future__ import annotations

from calque.dataset.doctor.kinds import KINDS
from calque.errors import InputError

_ENGLISH = {
    "title": "Data check",
    "kicker": "Data check",
    "skip": "Skip to the cases",
    "lead": "{n} were read.",
    "lead.ok": "{n} were read; nothing is wrong that could be seen.",
    "cases": "Cases",
    "errors": "Errors",
    "warnings": "Warnings",
    "clean": "Without a finding",
    "of": "of {n}",
    "error": "error",
    "warning": "warning",
    "kinds": "What was found",
    "kinds.caption": "Findings by kind",
    "finding": "Finding",
    "severity": "Severity",
    "number": "Number",
    "meaning": "Meaning",
    "todo": "What to do",
    "pictures": "Cases in pictures",
    "filter": "Show",
    "all": "all",
    "sort": "Order",
    "sort.page": "as listed",
    "sort.findings": "most findings first",
    "sort.name": "by name",
    "none": "no finding",
    "expected": "expected",
    "got": "found",
    "file": "file",
    "fix": "to do",
    "repairable": "can be repaired with --fix",
    "no_picture": "No picture: {why}",
    "no_mask": "Without its mask: {why}",
    "without_mask": "no mask",
    "other_shape": "the mask has another shape",
    "alt": "{case}: slices of the scan with its mask",
    "shown": "Pictures of {shown} of {all} cases: those with findings first. Each is a slice through the middle of the mask; in volumes the patient's Right is on the left.",
    "table": "All findings",
    "table.caption": "One row for each finding; whole is the data set",
    "case": "Case",
    "whole": "whole",
    "made": "Made by Calque {version} on {when}. calque explain NAME says more about a finding.",
}

_FRENCH = {
    "title": "Contrôle des données",
    "kicker": "Contrôle des données",
    "skip": "Aller aux cas",
    "lead": "{n} ont été lus.",
    "lead.ok": "{n} ont été lus ; rien d’anormal n’a été vu.",
    "cases": "Cas",
    "errors": "Erreurs",
    "warnings": "Avertissements",
    "clean": "Sans constat",
    "of": "sur {n}",
    "error": "erreur",
    "warning": "avertissement",
    "kinds": "Ce qui a été constaté",
    "kinds.caption": "Constats par type",
    "finding": "Constat",
    "severity": "Gravité",
    "number": "Nombre",
    "meaning": "Signification",
    "todo": "Que faire",
    "pictures": "Les cas en images",
    "filter": "Afficher",
    "all": "tout",
    "sort": "Ordre",
    "sort.page": "de la liste",
    "sort.findings": "d’abord les plus touchés",
    "sort.name": "par nom",
    "none": "aucun constat",
    "expected": "attendu",
    "got": "trouvé",
    "file": "fichier",
    "fix": "à faire",
    "repairable": "réparable avec --fix",
    "no_picture": "Pas d’image : {why}",
    "no_mask": "Sans son masque : {why}",
    "without_mask": "pas de masque",
    "other_shape": "le masque a une autre taille",
    "alt": "{case} : coupes de l’examen avec son masque",
    "shown": "Images de {shown} cas sur {all} : d’abord ceux qui ont un constat. Chacune est une coupe par le milieu du masque ; dans les volumes la droite du patient est à gauche.",
    "table": "Tous les constats",
    "table.caption": "Une ligne par constat ; « ensemble » est le jeu de données",
    "case": "Cas",
    "whole": "ensemble",
    "made": "Produit par Calque {version} le {when}. calque explain NOM en dit plus sur un constat.",
}

WORDS = {"en": _ENGLISH, "fr": _FRENCH}

FRENCH_KINDS: dict[str, tuple[str, str]] = {
    "image-missing": ("L’image n’existe pas", "restaurer le fichier, ou retirer le cas de la liste"),
    "mask-missing": ("Le masque n’existe pas", "restaurer le fichier, ou le retirer de la liste"),
    "not-annotated": ("Le cas n’a pas de masque et ne sert pas à l’entraînement", "ajouter un masque"),
    "truncated": ("Le fichier s’arrête avant la fin de ses données", "le copier ou le télécharger à nouveau"),
    "unreadable": ("Le fichier ne peut pas être lu", "l’exporter à nouveau"),
    "wrong-suffix": ("Le contenu du fichier est d’un autre format que son nom ne le dit", "le renommer"),
    "no-position": ("L’en-tête ne donne pas de position utilisable dans le patient", "corriger l’en-tête"),
    "positions-disagree": ("L’en-tête donne deux positions différentes (sform et qform)", "voir laquelle est la bonne"),
    "direction-skewed": ("Les axes ne sont pas à angle droit", "exporter à nouveau, ou voir si l’appareil était incliné"),
    "spacing-absurd": ("La taille des voxels est impossible", "vérifier l’unité"),
    "grids-differ": ("Les fichiers du cas ne sont pas sur la même grille", "rééchantillonner l’un sur la grille de l’autre"),
    "channels-resampled": ("Un canal est sur une autre grille ; il est rééchantillonné sur celle du premier", "voir s’ils montrent la même chose"),
    "grids-nearly-equal": ("Les grilles du cas diffèrent d’une fraction de voxel", "copier l’en-tête de l’image dans l’autre fichier"),
    "channels": ("Le cas n’a pas les canaux du jeu de données", "corriger la liste des canaux"),
    "not-finite": ("L’image contient NaN ou l’infini", "remplacer ces voxels"),
    "constant": ("Un canal a partout la même valeur", "exporter l’image à nouveau"),
    "clipped": ("Beaucoup de voxels ont la valeur la plus haute : les plus clairs ont été écrêtés", "exporter à nouveau"),
    "burned-in-text": ("Des lettres semblent incrustées dans l’image", "la regarder : un nom ne doit être ni diffusé, ni appris"),
    "labels-impossible": ("Le masque contient des valeurs qui ne peuvent pas être des classes", "corriger le masque"),
    "labels-undeclared": ("Le masque contient des valeurs non déclarées", "les déclarer, ou corriger le masque"),
    "labels-scaled": ("Les valeurs du masque sont celles des classes étalées de 0 à 255", "les diviser, ou laisser faire --fix"),
    "labels-gaps": ("Les valeurs des classes ne sont pas 1, 2, 3, ...", "les renuméroter : d’autres programmes refusent les trous"),
    "labels-float": ("Le masque est stocké en nombres à virgule, tous entiers", "exporter les masques en entiers"),
    "mask-rgb": ("Le masque est une image en couleurs dont les canaux sont égaux", "le stocker en gris"),
    "mask-colours": ("Le masque est une image en couleurs", "déclarer quelle couleur est quelle classe"),
    "mask-blurred": ("Le masque a des bords lissés ou compressés : des gris entre ses classes", "rééchantillonner au plus proche voisin, ne jamais stocker en JPEG"),
    "mask-empty": ("Le masque est vide", "voir s’il n’y a vraiment rien à marquer"),
    "mask-misplaced": ("Le masque n’est pas là où sont les autres : décalé, retourné, d’un autre cas ?", "le regarder sur son image"),
    "structures-by-geometry": ("Les références aux images ne mènent nulle part ; les structures sont placées par leur position", "les regarder sur l’image"),
    "structures-overlap": ("Des structures se recouvrent, et rien ne dit laquelle l’emporte", "le dire dans la colonne `priority`, ou ajouter une classe"),
    "structure-missing": ("Le cas n’a pas de structure pour une classe", "dire dans la colonne `stored` son nom ici, ou dans `annotated` ce qui a été cherché"),
    "modalities-mixed": ("Les séries sont de plusieurs modalités, traitées comme une seule", "apprendre d’une à la fois : garder ses lignes de `calque dataset init`"),
    "structure-gaps": ("Une structure manque sur des coupes entre d’autres ; rien n’est interpolé", "voir si des coupes ont été oubliées, et les dessiner"),
    "structure-empty": ("Une structure n’entoure aucun voxel", "voir si elle était voulue : points et lignes n’entourent rien"),
    "contours-ambiguous": ("Des contours d’une structure se croisent, ou existent deux fois", "les regarder, et les redessiner"),
    "mask-fractional": ("Le SEG contient des fractions ; dès la moitié de la valeur maximale, un voxel appartient au segment", "voir si c’est ce qui est voulu"),
    "class-absent": ("Aucun masque ne contient cette classe", "la retirer, ou l’annoter"),
    "class-rare": ("Peu de patients ont cette classe", "en annoter davantage"),
    "class-tiny": ("Cette classe n’a presque pas de voxels là où elle est", "voir si elle peut être apprise"),
    "orientation": ("L’orientation n’est pas celle des autres cas", "le regarder dans une visionneuse"),
    "spacing": ("La taille des voxels n’est pas celle des autres cas", "vérifier l’unité"),
    "shape": ("L’étendue n’est pas celle des autres cas", "voir si la même région est montrée"),
    "intensity": ("Les intensités ne sont pas celles des autres cas", "vérifier leur unité"),
    "duplicate": ("Deux cas ont la même image", "en retirer un, ou leur donner le même patient"),
    "duplicate-across-split": ("La même image sert à l’entraînement et au test", "la retirer de l’entraînement"),
    "patient-across-split": ("Des images d’un patient servent à l’entraînement et au test", "garder chaque patient d’un seul côté"),
}  # fmt: skip
"""Name of a finding -> what it means, what to do."""


def meaning(name: str, lang: str) -> tuple[str, str]:
    """What a finding means, and what to do."""
    return FRENCH_KINDS[name] if lang == "fr" else (KINDS[name].what, KINDS[name].fix)


def check_words(lang: str) -> dict[str, str]:
    """The words of this language.

    Raises:
        InputError: an unknown language.
    """
    if lang not in WORDS:
        raise InputError("This language is unknown", got=lang, expected=", ".join(WORDS))
    return WORDS[lang]

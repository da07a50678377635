"""What radiologists call each finding of `hilum.FINDINGS`.

The words are the language of chest radiography in English, with misspellings that real reports
have, in the notation of `hilum.reports.phrases`. Adjectives are listed only where the phrase would
be read differently without them. Findings that a sentence states of a part of the body ("the heart
is enlarged") are in `anatomy`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MENTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "Atelectasis": (
        "atelectasis|atelectases|atelectatic|atelectatis|atelectesis",
        "atelectatic change(s)|band(s)|streak(s)",
        "lobar|lobe|lung|pulmonary|segmental? collapse",
        "collapse of the? left|right|entire? upper|middle|lower? lobe|lung",
        "collapse of the? left|right? upper|middle and lower lobes",
        "collapsed left|right? upper|middle|lower? lobe|lung?",
    ),
    "Cardiomegaly": (
        "cardiomegaly|cardiomegally",
        "cardiac|heart enlargement",
    ),
    "Consolidation": (
        "consolidation(s)|consolidative|consolidated",
        "consolidation|consolidative|consolidated opacit(y,ies)|process(es)|change(s)|disease",
        "air bronchogram(s)",
    ),
    "COVID-19": (
        "covid|coronavirus 19? infection|disease?",
        "covid19 infection|disease?",
        "sars cov 2 infection?",
    ),
    "Edema": ("edema|oedema|edematous",),
    "Emphysema": (
        "emphysema|emphysematous",
        "emphysematous change(s)|lung(s)|disease|bulla(e)|bleb(s)",
        "bullous emphysema",
    ),
    "Fibrosis": (
        "fibrosis|fibrotic|honeycombing",
        "pulmonary|lung fibrosis",
        "fibrotic change(s)|scarring|disease|band(s)|lung(s)",
        "usual interstitial pneumonia|pneumonitis",
    ),
    "Fracture": (
        "fracture(s)|fractured|fx",
        "rib|bony fracture(s)",
        "vertebral body? compression|wedge fracture(s)",
        "compression|wedge fracture(s)",
    ),
    "Hernia": (
        "hernia(,s,e)|herniation",
        "diaphragm|diaphragmatic|stomach hernia(s)|herniation",
        "intrathoracic stomach",
    ),
    "Infiltration": (
        "infiltrate(s)|infiltration(s)|infiltrative|infilitrate(s)|infitrate(s)",
        "lung|pulmonary infiltrate(s)|infiltration(s)",
        "infiltrative opacit(y,ies)|process(es)|change(s)",
    ),
    "Lung Lesion": (
        "lesion(s)",
        "lung|pulmonary lesion(s)|metastas(is,es)|neoplasm(s)|tumo(r,rs,ur,urs)|malignancy",
        "neoplasm(s)|neoplastic|metastas(is,es)|metastatic",
        "neoplastic|metastatic disease|process(es)|lesion(s)|deposit(s)",
        "bronchogenic carcinoma|neoplasm|malignancy",
        "cavitation(s)",
    ),
    "Lung Opacity": (
        "opacit(y,ies)|opacification(s)|opacified|haziness|haze|opacites",
        "lung|pulmonary|interstitial opacit(y,ies)|opacification(s)",
        "increased|prominent|coarse|coarsened|thickened interstitial|reticular|reticulonodular|"
        "lung|pulmonary marking(s)|prominence|pattern|changes",
        "interstitial|reticular|reticulonodular thickening|prominence|pattern",
        "prominence of the? pulmonary? interstitium",
        "prominence of the? interstitial markings",
        "lung|pulmonary|parenchymal|airspace density|densities",
        "focal|patchy|hazy|streaky|linear|vague|increased density|densities",
        "basilar|bibasilar|retrocardiac density|densities",
        "air space density|densities",
        "ill defined density|densities",
    ),
    "Mass": (
        "mass|masses",
        "lung|pulmonary|hilar mass|masses",
    ),
    "Nodule": (
        "nodule(s)|nodularity|micronodule(s)",
        "lung|pulmonary nodule(s)",
        "coin lesion(s)",
    ),
    "Pleural Effusion": (
        "effusion(s)|effsion(s)|effusons|effussion(s)",
        "pleural effusion(s)|effsion(s)",
        "pleural|loculated|layering|subpulmonic|fissural|dependent fluid",
        "pleural fluid collection(s)|accumulation(s)|level(s)",
        "pleural or|and pericardial effusion(s)",
        "fluid in|within|along|tracking the? minor|major|horizontal|left|right? fissure(s)",
        "fluid in|within the? left|right? pleural space(s)|cavity",
        "hydrothorax|hemothorax|haemothorax|chylothorax|empyema",
    ),
    "Pleural Other": (
        "pleural plaque(s)|scar|scarring|fibrosis|calcification(s)|mass|masses|lesion(s)",
        "pleural nodule(s)|nodularity|disease|reaction|abnormalit(y,ies)|other",
        "pleural parenchymal scar|scarring",
        "pleuroparenchymal scar|scarring|change(s)",
        "pleural based",
        "calcified pleural? plaque(s)|pleura",
        "fibrothorax|mesothelioma",
    ),
    "Pleural Thickening": (
        "pleural apical? thickening|cap(s)|capping",
        "apical cap(s)|capping",
        "thickened pleura",
        "thickening of the? left|right|apical? pleura",
    ),
    "Pneumonia": (
        "pneumonia(s)|bronchopneumonia|pneumonic|pnuemonia|pnemonia",
        "lung|pulmonary infection(s)",
        "pneumonic process(es)|change(s)",
        "infection(s)|infectious|infective",
        "infectious|infective process(es)|etiolog(y,ies)|disease|change(s)|cause",
    ),
    "Pneumothorax": (
        "pneumothora(x,ces,xes)|ptx",
        "pneumothroax|pnuemothorax|pneumothrax|pneumonthorax|pneumothoracies",
        "pneumo thorax",
        "pleural air collection(s)?",
    ),
    "Support Devices": (
        # tubes and drains
        "tube(s)|tubing|ett|ngt|ogt|drain(s)|pigtail",
        "chest|pleural|tracheal|mediastinal|stomach tube(s)|drain(s)",
        "tracheostomy|endotracheal|nasogastric|orogastric|dobbhoff|dobhoff tube(s)?",
        # lines and catheters
        "catheter(s)|cannula(,s,e)|introducer(s)|sheath|picc|piccs|port|ports",
        "picc|pic|central|venous|subclavian|jugular|ij|dialysis|arterial|femoral|cvp line(s)",
        "central venous line(s)",
        "chest|pleural|tracheal catheter(s)|port(s)",
        "line(s) and|or|,|/ tube(s)",
        "tube(s) and|or|,|/ line(s)",
        "line tip(s)",
        "portacath|mediport|infusaport|hickman|permcath|permacath",
        "port a cath(s)|catheter(s)",
        "swan ganz catheter?",
        # cardiac devices
        "pacemaker(s)|pacer(s)|pacing|icd|aicd|defibrillator(s)|leads|generator(s)",
        "cardiac|heart pacemaker(s)|pacer(s)|defibrillator(s)|device(s)|lead(s)|generator(s)",
        "cardiac|heart pacing device(s)|lead(s)|wire(s)?",
        "cardiac|heart monitor|monitoring lead(s)|device(s)",
        "pacemaker|pacer|pacing|icd|aicd|ventricular|atrial|defibrillator lead(s)|wire(s)|device",
        "lvad|iabp|impella|ecmo",
        "ventricular assist device",
        "intraaortic? balloon pump",
        "intra aortic balloon pump?",
        "loop recorder(s)",
        # valves, wires, stents, others
        "prosthetic|artificial|mechanical|bioprosthetic cardiac|heart|aortic|mitral|tricuspid? "
        "valve(s)",
        "cardiac|heart|aortic|mitral|tricuspid valve(s)? prosthes(is,es)|replacement(s)|ring",
        "valve|valvular prosthes(is,es)|replacement(s)",
        "sternotomy|sternotomies wire(s)|suture(s)|change(s)?",
        "sternal|cerclage wire(s)|suture(s)",
        "stent(s)|endograft(s)|shunt(s)|stimulator(s)|neurostimulator(s)",
        "aortic|tracheal stent(s)",
        "ivc filter(s)",
        "ekg|ecg|monitor|monitoring|overlying|external lead(s)|wire(s)|electrode(s)",
        "support|supportive|monitoring|medical|assist|implanted|implantable device(s)|hardware",
        "support|supportive|monitoring line(s)|apparatus|equipment|tube(s)",
        "support and|or monitoring device(s)|line(s)",
        "device(s)|occluder(s)",
    ),
})  # fmt: skip
"""Finding → phrases that name it: 1 as they stand, 0 denied, -1 doubted."""

SIGNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "Atelectasis": (
        "volume loss|volumeloss",
        "lung volume loss",
        "loss of volume",
    ),
    "Cardiomegaly": (
        "borderline cardiomegaly",
        "borderline cardiac|heart enlargement",
    ),
    "Edema": (
        "congestive? heart|cardiac failure|decompensation",
        "chf|failure|decompensation",
        "fluid|volume overload",
        "kerley a|b? lines",
        "septal lines",
    ),
    "Emphysema": (
        "bulla(e)|bullous",
        "bullous change(s)|disease",
    ),
    "Fracture": (
        "compression|wedge|rib deformit(y,ies)",
        "vertebral body? compression|wedging|deformit(y,ies)",
        "vertebral body? compression|wedge deformit(y,ies)",
    ),
    "Pleural Effusion": ("blunt(s) the left|right? costophrenic? angle(s)|sulcus|sulci",),
    "Pneumonia": ("pneumonitis",),
    "Pneumothorax": ("visceral? pleural line(s)",),
})  # fmt: skip
"""Finding → signs that suggest it without naming it: -1 as they stand, 0 denied."""

MIXED: Final[tuple[tuple[Mapping[str, int], tuple[str, ...]], ...]] = (
    ({"Pneumonia": 1, "Infiltration": 1},
     ("infectious|infective|pneumonic infiltrate(s)",)),
    ({"Pneumonia": 1, "Consolidation": 1},
     ("infectious|infective|pneumonic consolidation(s)",)),
    ({"Pleural Effusion": -1, "Pleural Thickening": -1},
     ("pleural? effusion(s)|fluid or|versus|vs pleural? thickening",)),
    ({"Pleural Effusion": 1, "Pleural Thickening": 1},
     ("pleural effusion(s) and thickening",)),
    ({"Pleural Effusion": 1, "Pneumothorax": 1},
     ("hydropneumothora(x,ces)|hemopneumothora(x,ces)",)),
    ({"Nodule": -1, "Lung Opacity": 1},
     ("nodular|nodulelike opacit(y,ies)|density|densities|focus|foci",
      "nodular airspace|lung|pulmonary|parenchymal opacit(y,ies)|density|densities|disease",
      "nodule like opacit(y,ies)|density|densities")),
    ({"Mass": -1, "Lung Opacity": 1},
     ("masslike opacit(y,ies)|density|densities|consolidation|opacification",
      "mass like opacit(y,ies)|density|densities|consolidation|opacification")),
    ({"Lung Opacity": 1, "Consolidation": 0},
     ("airspace|alveolar|parenchymal disease|process(es)|abnormalit(y,ies)|change(s)",
      "airspace opacit(y,ies)|opacification(s)",
      "air space disease|process(es)|abnormalit(y,ies)|change(s)",
      "air space opacit(y,ies)|opacification(s)")),
    ({"Atelectasis": 1, "Lung Opacity": 1},
     ("atelectatic opacit(y,ies)|density|densities",)),
)  # fmt: skip
"""Labels and the phrases that mean all of them; denied, each is 0. One that is 0 here is said
only by the denial: "no airspace disease" denies a consolidation, "airspace disease" does not name
one.
"""

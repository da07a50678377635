"""What radiologists call each finding of `hilum.FINDINGS`.

The words are the language of chest radiography in English, in `hilum.reports.phrases`' notation.
Findings whose statement has a subject ("the heart is enlarged") are in `anatomy`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MENTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "Atelectasis": (
        "atelectasis|atelectases|atelectatic|atelectasia|atelectatis|atelectesis",
        "atelectatic change(s)|band(s)|streak(s)",
        "lobar|lobe|lung|pulmonary|segmental? collapse|collapsed",
        "collapse of the? left|right|entire? upper|middle|lower|entire? lobe|lung",
        "collapse of the? left|right? upper|middle and lower lobes",
        "collapsed left|right? upper|middle|lower lobe",
        "collapsed left|right? lobe|lung",
    ),
    "Cardiomegaly": (
        "cardiomegaly|cardiomegally|cardiomegalia",
        "enlarged cardiac|heart silhouette|shadow|contour(s)|size",
        "cardiac|heart enlargement",
    ),
    "Consolidation": (
        "consolidation(s)|consolidative|consolidated",
        "consolidation|consolidative|consolidated lung|opacit(y,ies)|process(es)|change(s)|"
        "disease|density|densities",
        "airspace|alveolar|parenchymal|lobar|pulmonary|focal consolidation(s)",
        "air bronchogram(s)",
    ),
    "COVID-19": (
        "covid|covid19|coronavirus 19? pneumonia|infection|disease?",
        "sars cov 2",
    ),
    "Edema": (
        "edema|oedema|edematous",
        "pulmonary|interstitial|alveolar|airspace|perihilar|hydrostatic|cardiogenic edema|oedema",
        "pulmonary interstitial|alveolar|venous edema|oedema",
        "interstitial and|or alveolar edema|oedema",
    ),
    "Emphysema": (
        "emphysema|emphysematous|emphysematic",
        "emphysematous change(s)|lung(s)|disease|bulla|bullae|bleb(s)",
        "pulmonary|bullous|centrilobular|paraseptal|panlobular|centriacinar emphysema",
    ),
    "Fibrosis": (
        "fibrosis|fibroses|fibrotic|honeycombing",
        "pulmonary|interstitial|lung|apical|parenchymal fibrosis",
        "fibrotic change(s)|scarring|disease|band(s)|lung(s)",
        "usual interstitial pneumonia|pneumonitis",
    ),
    "Fracture": (
        "fracture(s)|fractured|fx",
        "rib|clavicle|clavicular|vertebral|compression|wedge|humeral|sternal|scapular|spinal "
        "fracture(s)",
        "vertebral body? compression fracture(s)",
    ),
    "Hernia": (
        "hernia(,s,e)|herniation",
        "hiatal|hiatus|diaphragmatic|bochdalek|morgagni|paraesophageal hernia(s)",
        "intrathoracic stomach",
    ),
    "Infiltration": (
        "infiltrate(s)|infiltration(s)|infiltrative|infilitrate(s)|infitrate(s)",
        "infiltrative opacit(y,ies)|process(es)|change(s)",
        "pulmonary|lung|interstitial|alveolar|airspace infiltrate(s)|infiltration",
        "air space infiltrate(s)|infiltration",
    ),
    "Lung Lesion": (
        "lesion(s)",
        "lung|pulmonary|cavitary|parenchymal|cavitating|intrapulmonary lesion(s)",
        "pulmonary|lung metastas(is,es)|neoplasm(s)|tumor(s)|tumour(s)|malignancy|carcinoma",
        "neoplasm(s)|neoplastic|metastas(is,es)|metastatic",
        "metastatic|neoplastic disease|process|lesion(s)|deposit(s)",
        "primary? bronchogenic? lung? neoplasm|malignancy",
        "cavitation(s)|cavitating",
        "lung|apical cavity|cavities",
    ),
    "Lung Opacity": (
        "opacit(y,ies)|opacification(s)|opacified|opacifications|opacites|haziness|haze",
        "parenchymal|pulmonary|lung|interstitial|alveolar|reticular|reticulonodular|retrocardiac "
        "opacit(y,ies)|opacification(s)",
        "ground glass? opacit(y,ies)|opacification(s)",
        "increased|prominent|coarse|coarsened|thickened interstitial|reticular|reticulonodular|"
        "bronchovascular|lung marking(s)|prominence|pattern|change(s)",
        "interstitial|reticular|reticulonodular|bronchovascular thickening|prominence|pattern",
        "prominence of the? pulmonary? interstitium|interstitial marking(s)?",
        "focal|patchy|hazy|retrocardiac|basilar|bibasilar|streaky|airspace|parenchymal|pulmonary|"
        "lung|vague|linear|increased density|densities",
        "air space density|densities",
        "ill defined density|densities",
    ),
    "Mass": (
        "mass|masses",
        "lung|pulmonary|hilar|perihilar|suprahilar|cavitary|lobulated|parenchymal mass|masses",
    ),
    "Nodule": (
        "nodule(s)|nodularity|micronodule(s)",
        "lung|pulmonary|parenchymal|noncalcified|solitary|solid|ground? glass? nodule(s)",
        "coin lesion(s)",
    ),
    "Pleural Effusion": (
        "effusion(s)|effsion|effusons|effussion(s)",
        "pleural|parapneumonic|subpulmonic|loculated|layering|hemorrhagic|malignant effusion(s)",
        "pleural|loculated|layering|subpulmonic|fissural|intrafissural|dependent fluid",
        "pleural fluid collection(s)?|accumulation(s)?|level(s)?",
        "pleural or|and|versus pericardial effusion(s)",
        "fluid in|within|along|tracking the? minor|major|right|left|horizontal? fissure(s)",
        "fluid in|within the? left|right? pleural space|cavity|spaces",
        "hydrothorax|hemothorax|haemothorax|chylothorax|empyema|pleuraleffusion",
    ),
    "Pleural Other": (
        "pleural plaque(s)|plaques|scar|scarring|fibrosis|calcification(s)|mass|masses|"
        "lesion(s)|nodule(s)|nodularity|disease|reaction|abnormalit(y,ies)|based",
        "pleural parenchymal scar|scarring|thickening",
        "pleuroparenchymal scar|scarring|change(s)",
        "fibrothorax|mesothelioma",
        "calcified pleura",
        "calcified pleural plaque(s)",
        "pleural other",
    ),
    "Pleural Thickening": (
        "pleural apical? thickening|thickenings|cap(s)",
        "apical cap(s)|capping",
        "thickened pleura",
        "thickening of the? left|right|apical? pleura",
    ),
    "Pneumonia": (
        "pneumonia(s)|bronchopneumonia|pneumonic|pnuemonia|pneumonias|pnemonia",
        "lobar|aspiration|bacterial|viral|atypical|infectious|postobstructive pneumonia(s)",
        "pneumonic process(es)|change(s)",
        "infection(s)|infectious|infective",
        "acute|active? infectious|infective process(es)|etiolog(y,ies)|disease|change(s)|cause",
        "acute|active|pulmonary|lung|respiratory infection(s)",
    ),
    "Pneumothorax": (
        "pneumothora(x,ces,xes)|pneumothoracies|ptx|ptxs",
        "pneumothroax|pnuemothorax|pneumothrax|pneumonthorax|pneumothorasis",
        "pneumo thorax",
        "pleural air collection?",
    ),
    "Support Devices": (
        # tubes
        "endotracheal|et|ett|tracheostomy|tracheal|nasogastric|ng|ngt|og|orogastric|enteric|"
        "feeding|dobbhoff|dobhoff|gastric|gastrostomy|nasoenteric|chest|thoracostomy|drainage|"
        "pleural|peg|trach|intercostal|mediastinal tube(s)|tubes",
        "ett|ngt|tracheostomy|pigtail|chest drain(s)|intercostal drain(s)|drain(s)",
        "nasogastric|endotracheal|dobbhoff|dobhoff|orogastric",
        "tube tip(s)|tubing|tube(s)",
        # lines and catheters
        "catheter(s)|cannula(,s,e)|introducer(s)|sheath",
        "pic|picc|piccs line(s)|catheter(s)|tip(s)?",
        "midline catheter(s)",
        "port|ports|portacath|mediport|portocath|infusaport|hickman|permcath|permacath|vascath",
        "port a? cath(s)|catheter(s)",
        "chest|infusion|venous|subclavian|jugular port(s)",
        "swan ganz catheter?",
        "central|venous|subclavian|jugular|ij|svc|dialysis|arterial|femoral|chest|infusion|cv "
        "venous|vein|access? line(s)|lines",
        "central venous access device(s)?|catheter(s)?|line(s)?",
        "line(s) and|or|,|/ tube(s)",
        "tube(s) and|or|,|/ line(s)",
        "line tip(s)",
        "support|supportive|monitoring|life? support|supportive|monitoring device(s)|line(s)|"
        "apparatus|hardware|equipment|tube(s)",
        "support and|or monitoring? device(s)|line(s)",
        # cardiac devices
        "pacemaker(s)|pacer(s)|pacing|icd|aicd|defibrillator(s)|cardioverter",
        "cardiac|dual|single|permanent|transvenous? chamber|lead? pacemaker(s)|pacer(s)|icd|"
        "defibrillator(s)|device(s)",
        "pacemaker|pacer|pacing|icd|aicd|cardiac|ventricular|atrial|defibrillator lead(s)|wire(s)|"
        "device|generator|electrode(s)",
        "ventricular assist device|lvad|iabp|impella|ecmo",
        "balloon pump|intraaortic balloon",
        "intra aortic balloon pump?",
        "loop recorder(s)",
        "generator(s)",
        "battery pack",
        "leads",
        "overlying|external lead(s)",
        "implanted|implantable|indwelling? medical|electronic|cardiac? device(s)",
        "nerve|spinal|deep? cord|brain? stimulator(s)|neurostimulator(s)",
        "stimulator lead(s)?|device?",
        # valves, wires and stents
        "prosthetic|artificial|mechanical|bioprosthetic cardiac|heart|aortic|mitral|tricuspid? "
        "valve(s)",
        "aortic|mitral|tricuspid|cardiac|heart|pulmonary? valve(s) prosthes(is,es)|replacement(s)|"
        "ring|clip(s)",
        "valvular|valve prosthes(is,es)|replacement(s)",
        "sternotomy|sternotomies|sternal|cerclage median? wire(s)?|suture(s)?|closure?|change(s)?",
        "median|midline sternotomy wire(s)?|suture(s)?|change(s)?",
        "coronary|aortic|vascular|esophageal|tracheal|bronchial|endovascular|venous? stent(s)",
        "stent graft(s)|stented|endograft(s)",
        "ivc filter(s)|ventriculoperitoneal|vp|ventricular shunt(s)|shunt(s)",
        "closure|occluder|amplatzer device(s)",
        "medical|monitoring|support|assist device(s)",
        "ekg|ecg|monitor|monitoring|telemetry lead(s)|wire(s)|electrode(s)",
    ),
})  # fmt: skip
"""Finding → phrases that name it: 1 as they stand, 0 denied, -1 doubted."""

SIGNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "Atelectasis": ("volume loss|volumeloss", "loss of volume", "lung? volume loss"),
    "Cardiomegaly": (
        "borderline cardiomegaly",
        "borderline|upper cardiac|heart enlargement",
    ),
    "Edema": (
        "congestive? heart|cardiac failure",
        "chf|failure|decompensation",
        "fluid|volume overload",
        "kerley a|b? line(s)",
        "septal lines",
    ),
    "Emphysema": ("bulla(e)|bullous", "bullous change(s)|disease"),
    "Fracture": (
        "compression|wedge deformit(y,ies)",
        "vertebral body? compression|wedge? deformit(y,ies)|wedging|compression",
        "rib deformit(y,ies)",
        "compressed vertebra(s,e)",
    ),
    "Pneumonia": ("pneumonitis", "aspiration|infectious pneumonitis"),
    "Pleural Effusion": ("blunt(s) the left|right? costophrenic? angle(s)|sulcus|sulci?",),
})  # fmt: skip
"""Finding → signs that suggest it without naming it: -1 as they stand, 0 denied."""

MIXED: Final[tuple[tuple[Mapping[str, int], tuple[str, ...]], ...]] = (
    ({"Pneumonia": 1, "Infiltration": 1}, ("infectious|infective|pneumonic infiltrate(s)",)),
    ({"Pneumonia": 1, "Consolidation": 1},
     ("infectious|infective|pneumonic consolidation(s)|opacit(y,ies)",)),
    ({"Pleural Effusion": -1, "Pleural Thickening": -1},
     ("pleural? effusion(s)|fluid or|versus|vs pleural? thickening",)),
    ({"Pleural Effusion": 1, "Pneumothorax": 1},
     ("hydropneumothora(x,ces)|hemopneumothora(x,ces)|pyopneumothorax",)),
    ({"Pleural Effusion": 1, "Pleural Thickening": 1}, ("pleural effusion(s) and thickening",)),
    ({"Nodule": -1, "Lung Opacity": 1},
     ("nodular|nodulelike opacit(y,ies)|density|densities|focus|foci",
      "nodular airspace|lung|parenchymal opacit(y,ies)|density|densities|disease|infiltrate(s)",
      "nodule like opacit(y,ies)|density|densities")),
    ({"Mass": -1, "Lung Opacity": 1},
     ("masslike opacit(y,ies)|density|densities|consolidation|opacification|lesion",
      "mass like opacit(y,ies)|density|densities|consolidation|opacification|lesion")),
    ({"Lung Opacity": 1, "Consolidation": 0},
     ("airspace|alveolar|parenchymal disease|process(es)|abnormalit(y,ies)|change(s)",
      "air space disease|process(es)|abnormalit(y,ies)|change(s)",
      "airspace opacit(y,ies)|opacification(s)",
      "air space opacit(y,ies)|opacification(s)")),
    ({"Atelectasis": 1, "Lung Opacity": 1}, ("atelectatic opacit(y,ies)|density|densities",)),
)  # fmt: skip
"""Labels and the phrases that mean all of them; denied, each is 0. One that is 0 here is said
only by the denial: "no airspace disease" denies a consolidation, "airspace disease" does not name
one.
"""

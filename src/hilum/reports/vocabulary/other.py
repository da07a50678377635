"""Abnormalities that the vocabulary has no name for, statements of health, and decoys.

The first two matter for "No Finding" alone. Decoys are phrases in which a finding's word means
something else: they are read as a whole, so that nothing in them is.
"""

from typing import Final

ABNORMALITIES: Final = (
    # lungs and airways
    "scar(s)|scarring|scarred|cicatrix",
    "granuloma(s)|granulomata|granulomatous",
    "granulomatous disease|infection|process|change(s)|exposure|lesion(s)|calcification(s)",
    "calcified lymph? node(s)|nodes|adenopathy",
    "calcified hilar|mediastinal lymph? node(s)|adenopathy",
    "calcified granuloma(s)|granulomata",
    "calcification(s)|calcific|calcified",
    "hyperinflation|hyperexpansion|hyperlucency|hyperlucent|hyperaeration|overinflation",
    "copd",
    "chronic? obstructive pulmonary|lung|airway(s)? disease|change(s)",
    "small? airway(s) disease",
    "chronic|interstitial lung? disease|change(s)|abnormalit(y,ies)",
    "interstitial process",
    "bronchiectasis|bronchiectatic|bronchitis|bronchiolitis|pneumoconiosis",
    "bronchial|peribronchial|airway wall? thickening|cuffing",
    "sarcoid|sarcoidosis|tuberculosis|tb|silicosis|asbestosis",
    "active|latent|reactivation|pulmonary tuberculosis|tb",
    "tuberculosis|tuberculous|tb infection|pneumonia",
    "bleb(s)|cyst(s)|cystic|lucency|lucencies",
    # vessels
    "congestion|congested|cephalization|engorgement|engorged",
    "vascular|venous congestion|engorgement|prominence|redistribution|hypertension",
    "pulmonary vascular|venous congestion|engorgement|prominence|redistribution|hypertension",
    "pulmonary hypertension",
    "tortuosity|tortuous|ectatic|ectasia|uncoiled|unfolded|unfolding|aneurysm|aneurysmal|dissection",
    "atherosclerosis|atherosclerotic|arteriosclerosis|arteriosclerotic",
    # mediastinum, pericardium, pleura, diaphragm
    "adenopathy|lymphadenopathy",
    "upper|superior|anterior|posterior? mediastinal mass|masses|lesion(s)|shift|hematoma",
    "pneumomediastinum|pneumopericardium|pneumoperitoneum",
    "subcutaneous|mediastinal emphysema|gas|air",
    "soft tissue emphysema|gas|air",
    "free intraperitoneal|subdiaphragmatic|abdominal|peritoneal? air|gas",
    "pericardial effusion(s)|fluid|calcification(s)|thickening",
    "eventration(s)|goiter|dextrocardia",
    "situs inversus",
    "fissural thickening",
    # bones and soft tissues
    "scoliosis|scoliotic|kyphosis|kyphotic|kyphoscoliosis|dextroscoliosis|levoscoliosis",
    "dextro|levo|rightward|leftward|spinal|spine|thoracolumbar|shaped curvature",
    "curvature of the? lower|upper|mid? thoracic|thoracolumbar|lumbar? spine",
    "dextrocurvature|levocurvature|spondylosis|spondylitic|osteophyte(s)|osteophytosis|spurring",
    "osteopenia|osteopenic|osteoporosis|osteoporotic|demineralization|demineralized",
    "arthritis|arthritic|osteoarthritis|osteoarthritic|arthropathy|degenerative",
    "dish|hyperostosis|pectus|deformity|deformities",
    "lytic|sclerotic|blastic|osseous|bony|bone|destructive lesion(s)|metastas(is,es)",
    "dislocation|dislocated|subluxation",
    "foreign bod(y,ies)",
    "air fluid level(s)",
    # of anything
    "anomaly|anomalies|abnormal|lymphangitic",
)  # fmt: skip
"""Named abnormalities outside the vocabulary."""

ACUTE: Final = (
    "acute|active cardiopulmonary|pulmonary|cardiac|intrathoracic|thoracic|cardiothoracic|pleural|"
    "chest|lung|cardiorespiratory|respiratory|radiographic|radiologic "
    "disease(s)|abnormalit(y,ies)|process(es)|finding(s)|patholog(y,ies)|change(s)|injur(y,ies)",
    "acute|active radiographic cardiopulmonary|pulmonary|cardiac|intrathoracic|chest "
    "disease(s)|abnormalit(y,ies)|process(es)|finding(s)|patholog(y,ies)|change(s)|injur(y,ies)",
    "acute or active cardiac|cardiopulmonary|pulmonary? disease|process|abnormality",
    "acute or? active? cardiac , pulmonary ,? or|and pleural disease|process|abnormality",
    "acute|active or? active? cardiac or|and pulmonary disease|process|abnormality",
    "cardiopulmonary|intrathoracic disease(s)|abnormalit(y,ies)|process(es)|patholog(y,ies)",
    "cardiopulmonary|intrathoracic injur(y,ies)",
    "pulmonary|lung disease|abnormalit(y,ies)|process|pathology",
    "acute intrathoracic|cardiopulmonary",
    "active infiltrate(s)",
    "acute preoperative|traumatic|post findings|abnormalit(y,ies)|injury|traumatic injury?",
)  # fmt: skip
"""Acute disease of the chest at large, mostly to be denied."""

BONES: Final = (
    "acute|significant|focal bony|bone|osseous|skeletal|rib abnormalit(y,ies)|finding(s)|"
    "injur(y,ies)|process(es)|patholog(y,ies)",
    "bony|bone|osseous|skeletal abnormalit(y,ies)|injur(y,ies)",
)  # fmt: skip
"""Bones at large: denied, no fracture; as it stands, an abnormality without a name."""

DECOYS: Final = (
    "mass effect|index",
    "soft tissue edema|swelling",
    "subcutaneous|bowel|marrow edema",
    "cystic fibrosis",
    "joint|knee|hip effusion(s)",
    "breast|skin|renal|hepatic|liver|adrenal|splenic|abdominal|thyroid mass|masses|nodule(s)",
    "breast|skin|renal|hepatic|liver|adrenal|splenic|abdominal|thyroid|rib lesion(s)",
    "respiratory|renal|hepatic|liver|kidney|hardware failure",
    "failure to|of",
    "lead|wire|hardware|device fracture(s)",
    "fractured wire(s)|lead(s)|sternotomy|hardware",
    "inguinal|umbilical|ventral|abdominal hernia(s)",
    "breast|nipple|skin|soft tissue? density|densities|opacit(y,ies)|shadow(s)",
    "wound|tract infection",
    "vertebral|vertebra body? collapse",
    "chest wall mass|masses|nodule(s)|lesion(s)",
    "heart rate|beat|attack|disease",
    "cardiac arrest|surgery|bypass|catheterization|border(s)|apex",
    "lung volume(s)|cancer|base(s)|apex|apices|markings",
    "left|right lung",
    "pulmonary embolism|emboli|embolus",
    "x ray(s)",
    "view(s)|radiograph(s)|film(s) of the? chest",
)  # fmt: skip
"""Phrases to be read as a whole and for nothing."""

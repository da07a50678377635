"""The words that deny, doubt or set aside, and the joints of a sentence."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hilum.reports.claims import Cue, Joint, Sense

_SEEN: Final = (
    "seen|identified|visualized|visualised|appreciated|demonstrated|evident|detected|noted|found|"
    "observed|apparent|visible|present|recognized|demonstrable|shown|suspected"
)
_SURELY: Final = "definitely|clearly|currently|now|conclusively|convincingly"

_FULLY: Final = "entirely|completely|fully|definitively|reliably|confidently|adequately|optimally"

CUES: Final[Mapping[Cue, tuple[str, ...]]] = MappingProxyType({
    Cue(Sense.DENIAL, "after"): (
        "no|not|without|nor|neither|never|denies",
        "no longer",
        "negative for",
        "free|clear|devoid of|from",
        "lack|absence of",
        "w / o",
        "removal of",
        "resolution|clearing|clearance|disappearance of",
    ),
    Cue(Sense.DENIAL, "before"): (
        f"not {_SURELY}? {_SEEN}",
        f"no longer {_SEEN}",
        "cleared|disappeared|removed|none|nil",
        "is|are|has|have been? excluded",
        "is|are|has|have been? ruled out",
    ),
    Cue(Sense.DENIAL, "either"): ("resolved|absent",),
    Cue(Sense.DOUBT, "after"): (
        "suspicious|concerning|worrisome|suspicion|concern for|of",
        "suggest(s)|suggesting|suggested",
        "suggestive of",
        "favor(s)|favoring|favored|favour(s)|favouring",
        "question|possibility|likelihood|suggestion of",
        "raise(s) the? question|possibility|concern of|for?",
        "perhaps|presumed|presumably|consider|either",
        "rather than",
        "thought|felt to",
        "less|more|most likely",
    ),
    Cue(Sense.DOUBT, "after", "rest"): (
        "differential diagnos(is,es)|considerations? considerations? include(s)|including|is|are",
        "differential diagnostic considerations include|are",
        "differential diagnosis",
        "diagnostic considerations include",
    ),
    Cue(Sense.DOUBT, "either"): (
        "may|might|could|can",
        f"cannot {_FULLY}? exclude",
        f"can|could|unable|difficult|hard not|to {_FULLY}? exclude",
        "cannot rule out",
        "can|could|unable|difficult|hard not|to rule out",
    ),
    Cue(Sense.DOUBT, "either", "item"): (
        "possible|probable|unlikely|questionable|suspected|suspect|equivocal|potential",
        "questioned|question|query",
    ),
    Cue(Sense.DOUBT, "end", "item"): ("possibly|probably|likely|questionably|potentially",),
    Cue(Sense.DOUBT, "before"): (
        f"cannot be {_FULLY}? excluded",
        f"can|could not be {_FULLY}? excluded",
        "cannot be ruled out",
        "can|could not be ruled out",
        f"not {_FULLY}? excluded",
        f"not be {_FULLY}? excluded",
        "not ruled out",
        f"cannot be {_FULLY}? seen|visualized|visualised|evaluated|assessed",
        f"can|could not be {_FULLY}? seen|visualized|visualised|evaluated|assessed",
        "in the differential",
        "a|another consideration",
        "if any|present",
        "should|can be considered|entertained|suspected",
        # what is hard to see is not denied
        f"not as? well|{_FULLY} seen|visualized|visualised|evaluated|assessed|demonstrated",
        "poorly seen|visualized|visualised|evaluated|assessed",
    ),
    Cue(Sense.SILENCE, "after"): (
        "history|hx of",
        "h / o",
        "prior|previous|known history of",
        "evaluate|evaluation|assess|assessment|screening|screen|look for",
        "correlate|correlation clinically? for|with",
        "correlate clinically",
        "to exclude|confirm|document|ensure|assure|verify|assess",
        "rule out",
        "r / o",
        "if|unless|whether|until",
        "risk of|for",
        "sensitive|sensitivity in|for|to detecting?",
        "clinical concern|suspicion for|of",
        "treatment|therapy|treated of|for",
    ),
})  # fmt: skip
"""Cue → phrases."""

JOINTS: Final[Mapping[Joint, tuple[str, ...]]] = MappingProxyType({
    Joint.STOP: (
        "but|however|although|though|except|otherwise|yet|whereas|while|despite|with|besides|because",
        ";",
        "aside|apart from",
        "other than",
    ),
    Joint.VERB: (
        "is|are|was|were|has|have|had|appears|appear|remains|remain|demonstrates|demonstrate|"
        "shows|show|persists|persist|measures|reveals|reveal|projects|terminates|contains|overlies",
    ),
    Joint.COMMA: (",",),
    Joint.AND: ("and",),
    Joint.OR: ("or|versus|vs|/|+/-", "and / or"),
    Joint.OPENING: (
        "a|an|there|the|this|these|it|small|mild|mildly|moderate|moderately|minimal|minimally|trace|"
        "tiny|stable|unchanged|persistent|chronic|old|healed|scattered|again|residual|improved|"
        "improving|decreased|worsening|low",
    ),
    Joint.SIDE: ("left|right|bilateral|basilar|bibasilar|biapical|lingular",),
    Joint.QUESTION: ("?",),
    Joint.PLAIN: (
        # "with" that joins no new statement
        "consistent|compatible|associated|compared|comparison|along|together with",
        "in keeping with",
        # what did not change is there
        "no|without any? significant|interval|appreciable|definite|substantial|relevant|gross? "
        "interval|significant|acute? change(s)|difference in|of|from|since?",
        "no|without interval|significant? increase|decrease|improvement in|of",
        "no|without interval|significant? progression|worsening in|of",
        "not significantly|substantially|appreciably|markedly|grossly? "
        "changed|increased|decreased|progressed|worsened|improved",
        "not included|imaged|evaluated|assessed",
        "not only|limited|necessarily",
        "can be seen|appreciated|identified|visualized",
        # a doubt about the change is none about the finding
        "may|might|could have|be slightly|minimally|mildly|somewhat? increased|decreased|larger|"
        "smaller|improved|worse|worsened|progressed",
        # what went in part is still there
        "nearly|almost|partially|incompletely|partly|mostly|largely completely? resolved|cleared",
        "near|partial|incomplete|nearly|almost complete? resolution|clearing of|in?",
    ),
})  # fmt: skip
"""Joint → phrases."""

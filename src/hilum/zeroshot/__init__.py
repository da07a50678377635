"""Zero-shot detection: findings read off images by sentences, with no labels at all.

`detect` is the way in, `plan` its settings. What is asked is in `questions`, with wordings of one's
own read by `wordings`; `scoring` asks it of a collection, `sentences` reads it with a pair of
encoders; `validation` chooses between wordings.
"""

from hilum.zeroshot.detect import Detection, detect, zeroshot
from hilum.zeroshot.plan import Plan
from hilum.zeroshot.scoring import Member
from hilum.zeroshot.validation import Choice

__all__ = ["Choice", "Detection", "Member", "Plan", "detect", "zeroshot"]

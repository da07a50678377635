"""The main job, end to end on synthetic radiographs: one command, one page.

`story` runs the stages, `curve` asks how far few labels go, `page` tells it.
"""

from hilum.demo.story import Story, tell

__all__ = ["Story", "tell"]

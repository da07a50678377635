"""What makes people and films differ: draws of shapes, textures, poses and exposures.

Patients differ in frame, rib cage, heart, diaphragm, fat, breasts, lungs and vessels; one
patient's films differ in pose, breath, exposure, crop and marker. The second kind is as wide as
the first is visible on a film, so that neither a patient nor a visit is known by its warp alone.
"""

from dataclasses import dataclass

import numpy as np

from hilum.phantom.anatomy import Field
from hilum.phantom.film import Exposure
from hilum.phantom.lesions import Displacement
from hilum.phantom.texture import Texture
from hilum.phantom.warp import Pose, Shape, Warp, draw_wander


@dataclass(frozen=True)
class Layers:
    """Soft tissue that the CT does not have.

    Parameters
    ----------
    fat
        Thickness over the whole trunk, cm; negative for the thin.
    breast
        Thickness, cm, of each breast; 0 for none.
    radius, down, out
        Radius of the breasts and place of their centres below and beside the middle, mm.
    """

    fat: float
    breast: tuple[float, float]
    radius: float
    down: float
    out: float

    def thickness(self, warp: Warp, tissue: Field) -> Field:
        """Return what the layers add to the line integral `tissue`, cm of water."""
        trunk = np.clip(tissue / 6.0, 0.0, 1.0)
        added = self.fat * trunk
        for sign, thick in zip((-1.0, 1.0), self.breast, strict=True):
            across = (warp.across - sign * self.out * warp.shape.width) / self.radius
            up = (warp.up + self.down) / self.radius
            up = np.where(up < 0, up * 1.25, up * 0.75)  # fuller below
            chord = np.sqrt(np.clip(1.0 - across**2 - up**2, 0.0, None))
            added = added + thick * chord * trunk
        return np.asarray(np.maximum(tissue + added, 0.0) - tissue, dtype=np.float32)


@dataclass(frozen=True)
class Person:
    """What stays the same at all visits of a patient."""

    shape: Shape
    texture: Texture
    layers: Layers
    bone: float


def draw_person(rng: np.random.Generator, sex: str, age: float) -> Person:
    """Draw a patient's body; women are smaller, the old have thinner bones and larger hearts."""
    woman = sex == "F"
    habitus = rng.normal()  # thin to heavy
    shape = Shape(
        width=float(np.clip(rng.normal(0.97 if woman else 1.04, 0.065), 0.82, 1.2)),
        height=float(
            np.clip(rng.normal(0.94 if woman else 1.0, 0.075) - 0.025 * habitus, 0.76, 1.18)
        ),
        depth=float(np.clip(rng.normal(0.95, 0.1) + 0.07 * habitus, 0.7, 1.35)),
        taper=rng.normal(0.75, 0.55),
        bend=rng.normal(0.0, 4.5),
        lean=rng.normal(0.05, 0.05),
        girth=float(np.clip(1.20 + 0.13 * habitus + rng.normal(0, 0.04), 0.85, 1.5)),
        wander=draw_wander(rng, 6.0),
        domes=(rng.normal(-20, 8), rng.normal(-22, 8)),
        heart=float(np.clip(rng.normal(0.92, 0.045) + 0.0006 * (age - 50), 0.8, 1.04)),
        heart_tall=rng.uniform(0.2, 0.8),
        hila_shift=rng.normal(0, 3),
        rib_slope=rng.normal(0.06, 0.11),
        rib_shift=rng.normal(0, 9),
        rib_gap=rng.uniform(0.86, 1.12),
        girdle=(rng.uniform(2, 26), rng.normal(-16, 9)),
    )
    return Person(shape, _draw_texture(rng), _draw_layers(rng, woman, habitus), _bone(rng, age))


def _bone(rng: np.random.Generator, age: float) -> float:
    return float(np.clip(rng.normal(1.15, 0.2) - 0.006 * (age - 50), 0.6, 1.8))


def _draw_layers(rng: np.random.Generator, woman: bool, habitus: float) -> Layers:
    size = rng.gamma(4.0, 0.5) + 0.35 * habitus if woman else rng.normal(0.2, 0.3) + 0.2 * habitus
    size = float(np.clip(size, 0.0, 4.2))
    sides = [size * rng.uniform(0.85, 1.15) for _ in range(2)]
    if woman and rng.random() < 0.03:
        sides[int(rng.integers(2))] = 0.0  # mastectomy
    return Layers(
        fat=float(np.clip(1.8 * habitus + rng.normal(0, 0.6), -2.0, 6.5)),
        breast=(sides[0], sides[1]),
        radius=rng.uniform(52, 78),
        down=rng.uniform(28, 88),
        out=rng.uniform(68, 95),
    )


def _draw_texture(rng: np.random.Generator) -> Texture:
    bubbles = []
    if rng.random() < 0.6:
        bubbles.append((25.0, rng.uniform(-98, -72), rng.uniform(48, 92), rng.uniform(12, 34)))
    for _ in range(int(rng.integers(4))):
        place = (rng.uniform(10, 50), rng.uniform(-170, -105), rng.uniform(-90, 100))
        bubbles.append((*place, rng.uniform(8, 26)))
    return Texture(
        density=float(np.clip(rng.normal(1.0, 0.17), 0.6, 1.5)),
        mottle=rng.uniform(0.05, 0.22),
        ct_vessels=rng.uniform(0.1, 0.9),
        own_vessels=rng.uniform(0.5, 1.6),
        gas=np.array(bubbles, dtype=np.float64).reshape(-1, 4),
        seed=int(rng.integers(2**31)),
    )


def draw_pose(rng: np.random.Generator, view: str, moved: Displacement) -> Pose:
    """Draw how the patient stands or lies; AP is nearer, less straight and breathes in less."""
    bed = view == "AP"
    breath = rng.gamma(2.0, 4.0) + 6.0 if bed else rng.gamma(2.0, 2.6) - 5.0
    return Pose(
        frontal=view,
        distance=rng.uniform(850, 1150) if bed else rng.uniform(1600, 1850),
        field=float(np.clip(rng.normal(292 if bed else 278, 18), 240, 350)),
        offset=(rng.normal(6, 13), rng.normal(0, 9)),
        turn=rng.normal(0, 0.065 if bed else 0.032),
        tilt=rng.normal(-0.06 if bed else 0.0, 0.05),
        roll=rng.normal(0, 0.035 if bed else 0.017),
        lift=(breath + rng.normal(0, 2), breath + rng.normal(0, 2)),
        heart=moved.heart,
        pull=(moved.right_dome, moved.left_dome, moved.shift),
        arms=(rng.uniform(-14, 0) if bed else rng.uniform(0, 18), rng.normal(0, 6)),
    )


def draw_exposure(rng: np.random.Generator, view: str, bone: float) -> Exposure:
    """Draw how the film was taken and printed."""
    bed = view == "AP"
    shutters = [0.0] * 4
    if rng.random() < 0.22:
        for side in rng.choice(4, int(rng.integers(1, 3)), replace=False):
            shutters[int(side)] = rng.uniform(0.01, 0.07)
    side, text = float(rng.choice([0.03, 0.86])), "R"
    if side > 0.5:
        text = "L"
    if rng.random() < 0.25:
        text = ""
    elif bed and rng.random() < 0.3:
        text += " PORT"
        side = min(side, 0.66)
    return Exposure(
        quanta=float(10 ** rng.uniform(4.6, 5.9) * (0.6 if bed else 1.0)),
        bone=bone * (rng.uniform(1.9, 2.8) if bed else rng.uniform(1.5, 2.4)),
        scatter=rng.uniform(0.1, 0.45) if bed else rng.uniform(0.03, 0.3),
        blur=rng.uniform(0.6, 1.9) if bed else rng.uniform(0.4, 1.4),
        detail=rng.uniform(0.3, 0.8) if bed else rng.uniform(0.4, 1.0),
        curve=float(np.exp(rng.normal(-0.28 if bed else -0.18, 0.16))),
        window=(rng.uniform(0.3, 2.5), rng.uniform(93.0, 99.0)),
        floor=rng.uniform(0.0, 0.3),
        shutters=(shutters[0], shutters[1], shutters[2], shutters[3]),
        marker=(text, rng.uniform(0.07, 0.16), side, rng.uniform(0.035, 0.06)),
    )

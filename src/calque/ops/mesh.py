"""Surfaces of classes as triangles, for printing and viewing: STL and OBJ in LPS millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from calque.errors import GeometryError, MissingExtraError
from calque.image import LabelMap
from calque.ops.distance import bounding_box

_SHRINK, _GROW = 0.5, -0.53
"""Weights of Taubin's two steps: what one takes off, the other puts back."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed surface.

    Args:
        vertices: (n, 3) mm, LPS.
        faces: (m, 3) numbers of vertices, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def volume_ml(self) -> float:
        """What it encloses, in millilitres; above 0 where faces look outward."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6000.0)


def label_mesh(label_map: LabelMap, value: int, smooth: int = 0) -> Mesh:
    """The surface of one class by marching cubes (Lewiner et al. 2003, doi:10.1080/10867651.2003.10487582).

    Args:
        label_map: at least two voxels along every axis.
        value: of the class.
        smooth: rounds of Taubin's smoothing (1995, doi:10.1145/218380.218473), which takes steps off the
            surface and hardly any volume; 0: none.

    Raises:
        GeometryError: the class is not there, or the label map is a picture.
        MissingExtraError: scikit-image is not installed.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError:
        raise MissingExtraError("scikit-image", "shape") from None
    box = bounding_box(label_map.array == value)
    if box is None or min(label_map.array.shape) == 1:
        raise GeometryError(
            "There is no surface to make a mesh of",
            expected="a class with voxels in a volume",
            got="a picture" if box is not None else f"no voxel of value {value}",
        )
    part = np.pad(label_map.array[box.slices] == value, 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(part, 0.5)
    points = label_map.grid.to_world(vertices.astype(np.float64) - 1.0 + np.array(box.start))
    mesh = Mesh(_smoothed(points, faces, smooth), faces.astype(np.int64))
    return mesh if mesh.volume_ml > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1])


def _smoothed(points: NDArray[np.float64], faces: NDArray[np.integer], rounds: int) -> NDArray[np.float64]:
    """Each vertex towards the mean of its neighbours, then a little further back."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]]).T
    links = sparse.coo_matrix((np.ones(both.shape[1]), both), shape=(len(points),) * 2).tocsr()
    links.data[:] = 1.0
    mean = sparse.diags(1.0 / np.asarray(links.sum(axis=1)).ravel()) @ links
    for _ in range(rounds):
        for weight in (_SHRINK, _GROW):
            points = points + weight * (mean @ points - points)
    return points


def to_stl(mesh: Mesh, name: str) -> bytes:
    """Binary STL; its header says SPACE=LPS, which 3D Slicer reads."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(
        len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    triangles["corners"] = corners
    header = f"SPACE=LPS; mm; {name}".encode("ascii", "replace")[:80].ljust(80)
    return header + np.uint32(len(triangles)).tobytes() + triangles.tobytes()


def to_obj(mesh: Mesh, name: str) -> bytes:
    """Wavefront OBJ; its first line says SPACE=LPS."""
    plain = " ".join(name.split()) or "surface"
    vertices = (f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in mesh.vertices.tolist())
    faces = (f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist())
    return ("\n".join(["# SPACE=LPS; mm", f"o {plain}", *vertices, *faces]) + "\n").encode("utf-8")


MESHES = {"stl": to_stl, "obj": to_obj}
"""Suffix -> writer."""

"""Taking up nodes: one that lacks something is named with what it lacks, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def test_a_file_that_a_node_does_not_see_is_named(nodes: RayCluster, study, tmp_path: Path) -> None:
    """``/proc/self/stat`` is another one for each process, as if it were not shared."""
    recipe = tmp_path / "recipe.yaml"
    recipe.touch()
    running = study(nodes, ("wait", [1, 0], False), files=[str(recipe), "/proc/self/stat"])
    (said,) = running.rest()
    assert "does not see the same files: /proc/self/stat" in said["text"]
    assert "docs/ray.md" in said["text"]
    assert "recipe.yaml" not in said["text"]


def test_the_token_in_the_shared_folder_is_taken_away(nodes: RayCluster, study, tmp_path: Path) -> None:
    running = study(nodes, ("wait", [1, 0.5], False))
    running.next()
    assert len(list(tmp_path.glob(".mlopt-study-*"))) == 1
    running.rest()
    assert list(tmp_path.glob(".mlopt-study-*")) == []


def test_measurements_run_on_the_nodes_that_the_cluster_names(nodes: RayCluster, study) -> None:
    """All nodes here are of one class, so naming one changes nothing; that it has the resource is seen."""
    named = nodes.add(1, {"mlopt_target": 1})
    try:
        running = study(nodes, ("wait", [1, 0.1], True))
        running.next()
        (done,) = running.rest()
        assert done["error"] is None
    finally:
        nodes.kill(named)

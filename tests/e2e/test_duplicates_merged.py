"""A duplicate is found and merged, as in README.md."""

import json
from pathlib import Path

import httpx

from tests.support.commands import command, output
from tests.support.media.photos import copies, jpeg_of, photo
from tests.support.service import Service
from tests.support.tools import eventually


def test_a_duplicate_is_found_and_merged(
    service: Service, alice: httpx.Client, tmp_path: Path
) -> None:
    image = photo(40)
    (tmp_path / "beach.jpg").write_bytes(jpeg_of(image))
    (tmp_path / "beach-small.jpg").write_bytes(jpeg_of(copies(image)["scaled"]))
    uploaded = output(
        command(service, "upload", str(tmp_path / "beach.jpg"), str(tmp_path / "beach-small.jpg"))
    )
    large, small = (line.split("\t")[0] for line in uploaded.splitlines())
    alice.patch(f"/v1/media/{small}", json={"tags": ["sea"]}).raise_for_status()

    def found() -> str:
        return output(command(service, "duplicates", large))

    (line,) = eventually(found).splitlines()
    one, other, similarity, name = line.split("\t")
    assert (one, other, name) == (large, small, "beach-small.jpg")
    assert 0.8 < float(similarity) <= 1
    (similar,) = alice.get(f"/v1/media/{small}/similar").json()["similar"]
    assert (similar["media"]["mediaId"], similar["exact"]) == (large, False)
    planned = json.loads(output(command(service, "merge", "--dry-run", "--json", small, large)))
    assert (planned["media"]["mediaId"], planned["deletedMediaIds"]) == (large, [small])
    merged = output(command(service, "merge", small, large))
    assert merged.splitlines() == [f"{large}\tkept", f"{small}\tdeleted"]
    assert alice.get(f"/v1/media/{large}").json()["tags"] == ["sea"]
    assert "deleteTime" in alice.get(f"/v1/media/{small}").json()
    assert found() == ""

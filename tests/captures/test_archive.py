"""Captures as a zip, out and in, and over the command."""

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from appliance.__main__ import main
from appliance.captures.archive import Imported, export_parts, export_zip, import_zip
from appliance.captures.store import Captures
from appliance.errors import CaptureError, StateError
from model.network import NOT_A_DIGIT
from tests.captured import PICTURE, add_capture, glyph, png
from tests.conftest import ROOT


def exported(captures: Captures) -> io.BytesIO:
    file = io.BytesIO()
    export_zip(captures, file)
    return file


def test_an_export_comes_in_again_whole(captures: Captures, tmp_path: Path) -> None:
    for each, label in enumerate((1, 7, NOT_A_DIGIT)):
        add_capture(captures, label=label, said=None if label == 1 else 7, glyph=glyph(each))
    captures.delete(2)
    file = exported(captures)
    other = Captures(tmp_path / "other.db")
    add_capture(other, glyph=glyph(50))
    assert import_zip(other, file, "it") == Imported(added=2, known=0)
    assert import_zip(other, file, "it") == Imported(added=0, known=2)
    back = list(other.iter_captures())[1:]
    for was, now in zip(captures.iter_captures(), back, strict=True):
        np.testing.assert_array_equal(now.glyph, was.glyph)
        for name in ("at", "label", "said", "reason", "confidence", "network", "picture"):
            assert getattr(now, name) == getattr(was, name)
    assert exported(captures).getvalue() == file.getvalue()
    other.close()


def test_an_export_is_made_in_parts_that_are_the_file(captures: Captures) -> None:
    for each in range(5):
        add_capture(captures, glyph=glyph(each))
    parts = list(export_parts(captures))
    assert len(parts) == 6
    assert b"".join(parts) == exported(captures).getvalue()
    # Any program takes it apart from its beginning on: no head is without its sizes.
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert not any(each.flag_bits for each in archive.infolist())
        assert archive.testzip() is None


def test_an_export_is_plain(captures: Captures) -> None:
    add_capture(captures, label=3)
    with zipfile.ZipFile(exported(captures)) as archive:
        assert sorted(archive.namelist()) == ["captures.jsonl", "glyphs/1.png", "pictures/1.png"]
        line = json.loads(archive.read("captures.jsonl"))
        assert (line["id"], line["label"], line["said"]) == (1, 3, 7)
        image = Image.open(io.BytesIO(archive.read("glyphs/1.png")))
        np.testing.assert_array_equal(np.asarray(image), glyph(0))


def test_an_import_without_room_adds_nothing(captures: Captures, tmp_path: Path) -> None:
    for each in range(6):
        add_capture(captures, glyph=glyph(each))
    other = Captures(tmp_path / "other.db", limit=5)
    with pytest.raises(StateError, match="room for 5 more captures"):
        import_zip(other, exported(captures), "it")
    assert other.list_newest() == []
    other.close()


LINE = {
    "id": 1, "at": 1.5, "label": 7, "said": None, "reason": "blank", "confidence": 0.5,
    "network": "ab" * 32,
}  # fmt: skip


def packed(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def members(**changed: Any) -> dict[str, bytes]:
    return {
        "captures.jsonl": json.dumps({**LINE, **changed}).encode(),
        "glyphs/1.png": png(glyph(1)),
        "pictures/1.png": PICTURE,
    }


def test_what_another_program_packed_comes_in(captures: Captures) -> None:
    file = packed({"glyphs/": b"", "pictures/": b"", **members()})
    assert import_zip(captures, file, "it").added == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lines_that_windows_editor_wrote_again_come_in(captures: Captures, encoding: str) -> None:
    lines = members()["captures.jsonl"].decode() + "\r\n"
    file = packed({**members(), "captures.jsonl": lines.encode(encoding)})
    assert import_zip(captures, file, "it").added == 1


def bomb() -> bytes:
    """A PNG of 20,000 × 20,000 black pixels in less than 60 kB."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG", optimize=True)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def with_chunks(*chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """Return a PNG of an export with more chunks in it."""
    at = PICTURE.index(before) - 4
    return PICTURE[:at] + b"".join(chunks) + PICTURE[at:]


TEXT_BOMB = b"k\0\0" + zlib.compress(bytes(1_000_000), 9)


BAD: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "nothing": (lambda: io.BytesIO(b""), "not a whole export"),
    "text": (lambda: io.BytesIO(b"captures " * 100), "does not end as a zip"),
    "no lines": (lambda: packed({"glyphs/1.png": png(glyph(1))}), "captures.jsonl is not in it"),
    "a path": (lambda: packed({**members(), "../../etc/x.png": b""}), "does not belong in it"),
    "an absolute path": (lambda: packed({**members(), "/tmp/x": b""}), "does not belong in it"),
    "a folder with data": (lambda: packed({**members(), "other/": b""}), "does not belong"),
    "a picture too many": (
        lambda: packed({**members(), "glyphs/2.png": png(glyph(2))}), "exactly one line",
    ),
    "two lines of one": (
        lambda: packed({**members(), "captures.jsonl": (json.dumps(LINE) + "\n").encode() * 2}),
        "",
    ),
    "a missing glyph": (
        lambda: packed({k: v for k, v in members().items() if "glyph" not in k}), "not in it",
    ),
    "another id": (lambda: packed(members(id=2)), "not in it"),
    "a path as id": (lambda: packed(members(id="../1")), "line 1 of captures.jsonl"),
    "an unknown key": (lambda: packed(members(more=1)), "line 1 of captures.jsonl"),
    "a label": (lambda: packed(members(label=11)), "a label is a digit"),
    "a label that is true": (lambda: packed(members(label=True)), "line 1"),
    "a label of half": (lambda: packed(members(label=7.5)), "line 1"),
    "a huge number": (lambda: packed(members(at=10**400)), "not a whole export"),
    "no number": (lambda: packed(members(at=float("nan"))), "NaN is no number"),
    "infinity": (lambda: packed({**members(), "captures.jsonl": json.dumps(LINE).replace(
        "1.5", "1e999").encode()}), "time"),
    "a network": (lambda: packed(members(network="best")), "line 1"),
    "a long reason": (lambda: packed(members(reason="x" * 201)), "line 1"),
    "a list": (lambda: packed({**members(), "captures.jsonl": b"[1]"}), "line 1"),
    "deep brackets": (
        lambda: packed({**members(), "captures.jsonl": b"[" * 500}), "not a whole export",
    ),
    "long lines": (
        lambda: packed({**members(), "captures.jsonl": b" " * 10_000_000}), "more than",
    ),
    "a wide glyph": (
        lambda: packed({**members(), "glyphs/1.png": png(np.zeros((28, 29), np.uint8))}), "28×28",
    ),
    "a glyph in colour": (
        lambda: packed({**members(), "glyphs/1.png": png(np.zeros((28, 28, 3), np.uint8))}), "grey",
    ),
    "a large picture": (
        lambda: packed({**members(), "pictures/1.png": png(np.zeros((28, 161), np.uint8))}), "160",
    ),
    "a bomb of a picture": (lambda: packed({**members(), "pictures/1.png": bomb()}), "more than"),
    "a bomb of a member": (
        lambda: packed({**members(), "pictures/1.png": bytes(50_000_000)}), "more than",
    ),
    **{
        f"a {kind.decode()} in a picture": (
            lambda kind=kind: packed({  # type: ignore[misc]
                **members(), "pictures/1.png": with_chunks(chunk(kind, TEXT_BOMB))
            }),
            "no PNG of pixels alone",
        )
        for kind in (b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"PLTE", b"acTL")
    },
    "a text after the pixels": (
        lambda: packed({
            **members(), "pictures/1.png": with_chunks(chunk(b"zTXt", TEXT_BOMB), before=b"IEND")
        }),
        "no PNG of pixels alone",
    ),
    "something after the end": (
        lambda: packed({**members(), "pictures/1.png": PICTURE + chunk(b"zTXt", TEXT_BOMB)}),
        "no PNG of pixels alone",
    ),
    "a thousand chunks of pixels": (
        lambda: packed({**members(), "pictures/1.png": with_chunks(*[chunk(b"IDAT")] * 1000)}),
        "no PNG of pixels alone",
    ),
    "pixels of 16 bits": (
        lambda: packed({**members(), "pictures/1.png": png(np.zeros((9, 9), np.uint16))}),
        "no grey picture",
    ),
    "an interlaced picture": (
        lambda: packed({**members(), "pictures/1.png": PICTURE[:28] + b"\1" + PICTURE[29:]}),
        "no grey picture",
    ),
    "a reason that is no text of one line": (
        lambda: packed(members(reason="\x1b[2J")), "line 1 of captures.jsonl",
    ),
    "a reason of two lines": (lambda: packed(members(reason="a\nfake")), "line 1"),
    "a reason that turns the writing": (lambda: packed(members(reason="a\u202eb")), "line 1"),
    "half of a surrogate pair": (lambda: packed(members(reason="\ud800")), "line 1"),
    "no picture": (lambda: packed({**members(), "pictures/1.png": b"GIF89a" * 9}), "export"),
    "half a picture": (lambda: packed({**members(), "pictures/1.png": PICTURE[:-30]}), "export"),
    "another way of packing": (lambda: packed(members(), zipfile.ZIP_LZMA), "packed in another"),
    "too many": (
        lambda: packed({f"glyphs/{each}.png": b"" for each in range(1, 2000)}), "more than the 100",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_a_bad_zip_is_a_sentence_and_nothing_is_imported(captures: Captures, what: str) -> None:
    add_capture(captures)
    make, said = BAD[what]
    if what == "two lines of one":
        assert import_zip(captures, make(), "it") == Imported(added=1, known=1)
        return
    with pytest.raises((CaptureError, StateError), match="nothing was imported") as caught:
        import_zip(captures, make(), "my.zip")
    assert str(caught.value).startswith("my.zip: ")
    assert said in str(caught.value)
    assert len(captures.list_newest()) == 1


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_zip_with_changed_bytes_comes_in_whole_or_not_at_all(
    captures: Captures, data: st.DataObject
) -> None:
    good = bytearray(packed(members(at=1e6)).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    before = len(captures.list_newest(limit=200))
    try:
        done = import_zip(captures, io.BytesIO(bytes(good)), "it")
    except CaptureError as error:
        done = Imported(0, 0)
        assert "nothing was imported" in str(error)  # noqa: PT017
    assert len(captures.list_newest(limit=200)) == before + done.added


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changed=st.dictionaries(
        st.sampled_from([*LINE, "more"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
        min_size=1,
        max_size=3,
    )
)
def test_any_line_comes_in_as_a_capture_or_not_at_all(
    captures: Captures, changed: dict[str, Any]
) -> None:
    before = captures.count_changes()
    try:
        done = import_zip(captures, packed(members(**changed)), "it")
    except CaptureError:
        assert captures.count_changes() == before
    else:
        assert done.added + done.known == 1


# ---- the command ----


def test_the_command_lists_judges_exports_and_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    captures = Captures(tmp_path / "captures.db")
    add_capture(captures, label=3)
    add_capture(captures, label=NOT_A_DIGIT, said=None)
    captures.close()
    assert main(["captures", "list", *state]) == 0
    told = capsys.readouterr().out
    assert "corrected, was read as: 7 with 75%" in told
    assert "not a digit  confirmed, was read as: unsure between 4 and 9" in told
    assert main(["captures", "report", *state]) == 0
    assert "There are not enough captures for a night yet" in capsys.readouterr().out
    file = tmp_path / "out.zip"
    assert main(["captures", "export", str(file), *state]) == 0
    (tmp_path / "other").mkdir()
    assert main(["captures", "import", str(file), "--state", str(tmp_path / "other")]) == 0
    assert "2 captures were added, 0 were there already" in capsys.readouterr().out
    assert main(["captures", "import", str(ROOT / "LICENSE"), *state]) == 1
    assert "nothing was imported" in capsys.readouterr().err
    assert main(["captures", "list", "--state", str(tmp_path / "none")]) == 1
    assert "no such state directory" in capsys.readouterr().err

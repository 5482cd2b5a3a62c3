import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from distlaw.apps.web.law_question import LawQuestion, charts, content, view
from distlaw.apps.web.law_tab import about_shown, answer_shown
from distlaw.apps.web.laws import MOST_BYTES, Laws, decoded, law_of_text
from distlaw.laws import published


def look(laws, **given):
    question = LawQuestion(**given)
    return view(question, Laws(laws).find(question.law, {}))


def test_a_law_around_one_student(laws):
    shown = look(laws, student="1B", tokens="20B", teacher="2.2")
    law = published(LawQuestion().law).law
    assert shown.loss[0] == float(law.student_loss(1e9, 2e10, 2.2))
    assert shown.alone[0] == float(law.supervised.loss(1e9, 2e10))
    assert "ends 0.0" in str(answer_shown(shown))


def test_no_other_teacher_is_better_than_the_best(laws):
    best = look(laws, student="1B", tokens="20B")
    assert best.best
    for loss in np.linspace(1.9, 3, 12):
        assert look(laws, student="1B", tokens="20B", teacher=f"{loss}").loss[0] >= best.loss[0] - 1e-9


def test_intervals_come_with_resamples_only(laws):
    low, high = look(laws, law="file:mine.json").loss[1:]
    assert 0 < low < high
    assert np.isnan(look(laws).loss[1])
    assert "no intervals of predictions" in str(about_shown(look(laws)))


def test_slices_are_solid_where_the_law_was_fitted_and_dashed_beyond(laws):
    shown = look(laws, law="file:mine.json")
    chart = charts(shown)["tokens"]
    low, high = shown.found.fitted_range["student_tokens"]
    solid = next(one for one in chart.panels[0].series if one.name == "distilled")
    known = np.isfinite(solid.y)
    assert ((solid.x >= low) & (solid.x <= high) == known).all()
    shades = [guide for guide in chart.panels[0].guides if guide.to is not None]
    assert {guide.at for guide in shades} == {solid.x[0], high}
    band = next(one for one in chart.panels[0].series if one.low is not None)
    assert (band.low <= band.high).all()


def test_a_supervised_law_has_a_map_of_its_own(laws):
    found = charts(look(laws, law="besiroglu2024"))
    assert set(found) == {"map", "tokens", "sizes"}
    field = found["map"].panels[0].field
    assert field is not None
    assert field.z[3, 5] == published("besiroglu2024").supervised.loss(field.y[3], field.x[5])


def test_what_lies_beyond_the_range_is_said(laws):
    assert any("student_params 1e+11 is outside" in text for text in look(laws, student="100B").warnings)
    assert content(look(laws, student="100B"))["student_params"] == 1e11


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("nobody2030", "'nobody2030' is unknown; choose one of the list"),
        ("file:gone.json", "'file:gone.json' is unknown"),
        ("file:../laws/mine.json", "is unknown"),
        ("file:/etc/passwd", "is unknown"),
        ("/etc/passwd", "is unknown"),
        ("own:runs.json", "brought along by another session, or too long ago"),
        ("file:broken.json", "^law file 'broken.json' is damaged"),
        ("", "Law: '' is unknown"),
    ],
)
def test_a_law_that_is_not_there_is_a_message(laws, key, says):
    with pytest.raises(ValueError, match=says):
        Laws(laws).find(key, {})


def test_a_law_file_that_changes_is_read_again(laws, tmp_path):
    path = tmp_path / "law.json"
    path.write_text((laws / "mine.json").read_text())
    known = Laws(tmp_path)
    first = known.find("file:law.json", {})
    assert known.find("file:law.json", {}) is first
    path.write_text("{}")
    with pytest.raises(ValueError, match="is not a law file"):
        known.find("file:law.json", {})


def test_a_folder_of_laws_must_be_one(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        Laws(tmp_path / "none")


def test_a_law_file_that_is_brought_along(laws):
    law = law_of_text((laws / "mine.json").read_text(), "mine.json")
    assert law.key == "own:mine.json"
    assert law.has_draws
    with pytest.raises(ValueError, match=r"'evil.json' .*is not JSON"):
        law_of_text("=cmd()", "evil.json")
    with pytest.raises(ValueError, match=r"'evil.json' .*is nested more than 100 deep"):
        law_of_text("[" * 100_000, "evil.json")


def test_a_law_file_with_very_many_resamples_is_refused(laws):
    content = json.loads((laws / "mine.json").read_text())
    count, width = 10_001, content["draws"]["shape"][1]
    zeros = base64.b64encode(zlib.compress(bytes(8 * count * width))).decode()
    del content["sha256"]
    many = {"format": "distlaw-law-1", "draws": {"shape": [count, width], "float64": zeros}}  # without a checksum
    text = json.dumps(content | many)
    with pytest.raises(ValueError, match=r"'many.json' has 10,001 resamples; at most 10,000 are read"):
        law_of_text(text, "many.json")


@pytest.mark.parametrize("content_", [None, 7, "@@@", "A" * (MOST_BYTES * 2)])
def test_what_does_not_arrive_whole_is_refused(content_):
    with pytest.raises(ValueError, match=r"larger than|did not arrive whole"):
        decoded(content_, MOST_BYTES)


def test_options_name_what_there_is(laws):
    known = Laws(laws)
    groups = known.options({})
    assert "hoffmann2022" not in groups["Published"]
    assert "hoffmann2022" in known.options({}, distilled=False)["Published"]
    assert list(groups["Law files"]) == ["file:broken.json", "file:mine.json"]
    assert "Yours" not in groups
    assert Path(known.find("file:mine.json", {}).command).is_file()

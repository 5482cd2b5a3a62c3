import pytest
from tests.sweep.simulate import SMALL, small

from distlaw.sweep.study import presets, read_study, study_of, study_text

TAUGHT = 'name = "taught"'
CHANGED = f"""{TAUGHT}
loss = {{ mixing = [[0.5, 1.0], [0.5, 0.0]], temperature = 2 }}
training = {{ rate = 0.01 }}
family = {{ aspect_ratio = 16 }}
baselines = ["tokens"]
"""


def test_what_a_protocol_changes_holds_for_its_students_alone():
    plain, changed = small(), study_of(SMALL.replace(TAUGHT, CHANGED), "changed")
    alone = [run for run, names in plain.runs.items() if "alone" in names]
    assert [run for run, names in changed.runs.items() if "alone" in names] == alone
    for run in changed.runs:
        setup = changed.setup(run)
        if run.teacher is not None:
            assert setup.loss.mixing_at(0.6) == 0.0
            assert (setup.loss.temperature, setup.training.rate, setup.family.aspect_ratio) == (2.0, 0.01, 16)
            assert changed.setup(run.teacher) == changed.own
            assert changed.shape(run).d_model == 16 * run.layers
        elif run.split == "teacher" or "alone" in changed.runs[run]:
            assert setup == changed.own
        else:  # a baseline: as its student, but for the loss that it has no use for
            assert (setup.training.rate, setup.family.aspect_ratio, setup.loss) == (0.01, 16, changed.loss)


def test_a_study_is_what_it_writes():
    texts = {name: study_text(read_study(name)) for name in presets()}
    for name, text in {**texts, "changed": SMALL.replace(TAUGHT, CHANGED)}.items():
        found = study_of(text, name)
        again = study_of(study_text(found), name)
        assert again == found
        assert [run.id for run in again.runs] == [run.id for run in found.runs]


def test_presets_are_there_with_their_sizes():
    assert presets() == ["nano", "paper", "small", "tiny"]
    nano, tiny = read_study("nano"), read_study("tiny")
    assert 30 <= len(nano.runs) <= 100
    assert len(tiny.runs) >= 120
    assert len({run.id for run in tiny.runs if run.split == "teacher"}) >= 6


def test_sizes_are_read_as_people_write_them():
    text = SMALL.replace("params = [1e3, 6e3], tokens = [4096, 8192]", 'params = ["1K", "6K"], tokens = [4096, "8192"]')
    assert list(study_of(text, "x").runs) == list(small().runs)


def test_the_budget_keeps_the_cheapest_runs_with_their_teachers():
    full = small()
    costs = sorted(full.flops(run) for run in full.runs)
    found = small(limits=f"compute = {sum(costs) / 2}")
    assert 0 < len(found.runs) < len(full.runs)
    assert sum(found.flops(run) for run in found.runs) <= sum(costs) / 2
    assert found.left_out == len(full.runs) - len(found.runs)
    assert all(run.teacher is None or run.teacher in found.runs for run in found.runs)
    with pytest.raises(ValueError, match=r"limits.compute \(1 FLOPs\) is less than the cheapest run costs"):
        _ = small(limits="compute = 1").runs


def test_what_all_runs_share_decides_the_settings_and_where_data_lies_does_not():
    base = study_of(SMALL, "x")
    assert study_of(SMALL.replace("batch_tokens = 256", "batch_tokens = 512"), "x").settings != base.settings
    assert study_of(SMALL.replace("head_size = 8", "head_size = 4"), "x").settings != base.settings
    assert study_of(SMALL + "\n[loss]\nmixing = 0.5\n", "x").settings != base.settings
    assert study_of(SMALL + "\n[limits]\nstudents_per_pass = 2\n", "x").settings == base.settings
    assert study_of(SMALL.replace("[training]", "[training]\nlog_every = 3"), "x").settings == base.settings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[training]", "[training]\ntokens = 5", "training.tokens is set by each run"),
        ("[family]", "[family]\nlayers = 5", "family.layers is set by each run"),
        ("[family]", "[family]\nwidth = 64", "family.width: sizes of a study are members"),
        ("[data]", "[date]", "date is unknown; known are"),
        ("params = [1e3, 6e3], tokens", "sizes = [1e3], tokens", "protocols.0.students.sizes is unknown"),
        ("tokens_per_param = [2]", 'tokens_per_param = ["two"]', "protocols.1.teachers.tokens_per_param: 'two' is not"),
        ("batch_tokens = 256", "batch_tokens = 250", "must be a multiple of data.context"),
        ("seeds = [0, 1]", "seeds = [-1]", "seeds must be different whole numbers of 0 or more"),
        ("[data]", "[data", "study 'x': it is not TOML"),
        (
            "[family]\naspect_ratio = 8",
            "[family]\naspect_ratio = 0",
            "study 'x': family.aspect_ratio must be a whole number",
        ),
        ("[data]", "family = 3\n[data]", "study 'x': it is not TOML"),
        ("[data]", "limits = 3\n[data]", "study 'x': limits must be a table, got 3"),
        ("[data]", "about = 3\n[data]", "study 'x': about must be text, got 3"),
        ("seeds = [0, 1]", "seeds = 3", "study 'x': protocols.0.seeds must be a list, got 3"),
        ("seeds = [0, 1]", "seeds = [true]", "study 'x': protocols.0.seeds.0 must be a whole number, got true"),
        ("seeds = [0, 1]", "loss = 3", "study 'x': protocols.0.loss must be a table, got 3"),
        (
            "batch_tokens = 256",
            f"batch_tokens = {10**400}",
            "study 'x': it has a whole number beyond 64 bits: training.batch_tokens",
        ),
        ("batch_tokens = 256", "rate = 1e400", "study 'x': it is not TOML \\(1e400 is too large for a number"),
        ("seeds = [0, 1]", f"x = {'[' * 5000}{']' * 5000}", "study 'x': it is nested more than 100 deep"),
        ("batch_tokens = 256", "batch_tokens = true", "training.batch_tokens"),
        (TAUGHT, TAUGHT + "\nloss = { mix = 1 }", "protocol 'taught': loss.mix is unknown; known are"),
        (TAUGHT, TAUGHT + "\nloss = { mixing = 2 }", "protocol 'taught': loss.mixing must be a number in"),
        (TAUGHT, TAUGHT + "\nfamily = { layers = 2 }", "family.layers is set by each run"),
        (TAUGHT, TAUGHT + "\ntraining = { tokens = 2 }", "training.tokens is set by each run"),
        (TAUGHT, TAUGHT + "\ntraining = { batch_tokens = 250 }", r"'taught': training.batch_tokens \(250\) must be"),
        ("seeds = [0, 1]", "loss = { mixing = 0.5 }", "loss is for students with teachers"),
    ],
)
def test_a_mistake_is_named(old, new, message):
    assert old in SMALL
    with pytest.raises(ValueError, match=message) as error:
        study_of(SMALL.replace(old, new), "x")
    assert "\n" not in str(error.value)


def test_a_study_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="'huge' is neither a preset \\(nano, paper, small, tiny\\) nor a file"):
        read_study("huge")
    with pytest.raises(ValueError, match="cannot be read"):
        read_study(str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="protocols"):
        study_of("[data]\n", "x")

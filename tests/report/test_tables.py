import io
import re
from dataclasses import replace

from rich.console import Console

from distlaw.costs import PAPER_FAMILY, Bill
from distlaw.laws import DistillationLaw, published
from distlaw.report.tables import (
    accuracy_table,
    flops_table,
    law_table,
    laws_table,
)
from distlaw.runs import Accuracy, GroupAccuracy

law = published("busbridge2025").law
assert isinstance(law, DistillationLaw)
LAW = law


def text_of(table):
    """What the command prints, without frames."""
    file = io.StringIO()
    Console(file=file, width=200, highlight=False, soft_wrap=True).print(table)
    return re.sub(r"[\u2500-\u257f]", " ", file.getvalue())


def shows(text, *cells):
    """Whether one line starts with the first cell and shows the others after it, in order."""
    pattern = r"^\s*" + r"\s+".join(re.escape(cell) for cell in cells) + r"\s*$"
    return re.search(pattern, text, re.MULTILINE) is not None


def test_flops_table():
    shape = PAPER_FAMILY.member(14)
    result = {
        name: getattr(shape, name)
        for name in ("n_params", "n_embedding", "n_total", "n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads")
    }
    result |= {"d_head": 128, "n_vocab": 32768, "n_ctx": 4096}
    result |= {
        "forward_flops_exact": 1.4168018e9,
        "forward_flops_closed_form": 1.4149202e9,
        "closed_form_error": -0.001328,
        "two_n_error": -0.229292,
        "training_flops_per_token": 4.2504e9,
        "tokens": 1e12,
        "training_flops": 4.2504e21,
        "bill": Bill(gpu_hours=2984.5, energy_kwh=2506.98, dollars=7461.25),
    }
    text = text_of(flops_table(result))
    assert shows(text, "parameters without embeddings", "545,970,432")
    assert shows(text, "all parameters", "604,690,688")
    assert shows(text, "layers x width (feed-forward)", "14 x 1792 (4864)")
    assert shows(text, "forward FLOPs per token, exact", "1.4168e+09")
    assert shows(text, "forward FLOPs per token, eq. 69", "1.4149e+09 (-0.13 %)")
    assert shows(text, "error of 2N", "-22.93 %")
    assert shows(text, "training on 1T tokens", "4.25e+21 FLOPs")
    assert shows(text, "GPU-hours", "2,984.5")
    assert shows(text, "money", "$7,461")
    short = text_of(flops_table(result | {"tokens": None, "training_flops": None, "bill": None}))
    assert "GPU-hours" not in short
    assert "training on" not in short


def test_laws_tables():
    laws = [published(name) for name in ("hoffmann2022", "busbridge2025")]
    text = text_of(laws_table(laws, default="busbridge2025"))
    assert re.search(r"hoffmann2022 +supervised +Hoffmann et al\. 2022.* +MassiveText", text)
    assert re.search(r"busbridge2025 \(default\) +distillation +Busbridge", text)

    one = text_of(law_table(published("busbridge2025")))
    assert "90% interval" in one
    assert shows(one, "beta'", "0.637", "0.634 to 0.64")
    assert shows(one, "B", "18186", "18157 to 18236")
    assert "teacher_loss: 1.89 to 2.76" in one
    assert "caution: the printed distillation row does not reproduce" in one
    without = text_of(law_table(published("besiroglu2024")))
    assert "interval" not in without
    assert shows(without, "E", "1.8172")


def test_accuracy_table():
    overall = Accuracy(runs=328, mean_abs_rel_error=0.011636, max_abs_rel_error=0.05919, bias=-0.010138)
    group = GroupAccuracy(student_params=143e6, student_tokens=3.7e9, accuracy=replace(overall, runs=11, bias=0.040727))
    text = text_of(accuracy_table(overall, [group], law="busbridge2025"))
    assert "busbridge2025 against 328 runs" in text
    assert shows(text, "143M", "3.7B", "11", "1.16 %", "5.92 %", "+4.07 %")
    assert shows(text, "all", "328", "1.16 %", "5.92 %", "-1.01 %")
    assert "too hopeful" in text

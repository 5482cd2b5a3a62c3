"""`distlaw flops`: what a model costs a token."""

from distlaw.apps.options import FamilyOptions, Hardware, ModelSize, Quantity, WholeNumber
from distlaw.apps.output import console, print_json, print_warnings


def flops(
    *,
    layers: WholeNumber | None = None,
    student_params: ModelSize | None = None,
    tokens: Quantity | None = None,
    family: FamilyOptions = FamilyOptions(),
    hardware: Hardware = Hardware(),
    json: bool = False,
) -> None:
    """Count parameters and FLOPs of a model: of the paper's family by depth or size, or of a Hugging Face config.json.

    The exact count follows the shape (tables 9-12), layers with a sliding window at most the window's positions; the
    closed form is eq. 69 with the shape's own ratios. Training costs three forward passes a token.

    Args:
        layers: Depth of a member of the family; width is 128 x layers.
        student_params: Size without embeddings, such as 546M (the nearest member is taken), or a config.json.
        tokens: Also count training on this many tokens.
        json: Print JSON.
    """
    if (layers is None) == (student_params is None):
        raise ValueError("give one of --layers and --student-params")
    warnings = []
    members = family.family()
    if layers is not None:
        shape = members.member(layers)
    else:
        assert student_params is not None
        size = student_params.at_context(family.context)
        shape = size.shape or members.nearest(size.params)
        warnings += shape.notes
        if abs(shape.n_params / size.params - 1) > 0.02:
            warnings.append(
                f"no member of the family has {size.params:g} parameters; the nearest, {shape.n_params}, is shown"
            )
    if shape.n_local and shape.window and shape.window < shape.n_ctx:
        warnings.append("eq. 69 knows no windows: it counts the whole context in every layer")
    machine = hardware.machine()
    training = 3 * shape.forward_flops
    total = None if tokens is None else training * tokens
    result = {
        "n_params": shape.n_params,
        "n_embedding": shape.n_embedding,
        "n_total": shape.n_total,
        "n_layers": shape.n_layers,
        "d_model": shape.d_model,
        "d_ff": shape.d_ff,
        "n_heads": shape.n_heads,
        "n_kv_heads": shape.n_kv_heads,
        "d_head": shape.d_head,
        "n_vocab": shape.n_vocab,
        "n_ctx": shape.n_ctx,
        "n_local_layers": shape.n_local,
        "window": shape.window,
        "forward_flops_exact": shape.forward_flops,
        "forward_flops_closed_form": shape.forward_flops_closed_form,
        "closed_form_error": shape.forward_flops_closed_form / shape.forward_flops - 1,
        "two_n_error": 2 * shape.n_params / shape.forward_flops - 1,
        "training_flops_per_token": training,
        "tokens": tokens,
        "training_flops": total,
        "bill": None if machine is None or total is None else machine.bill(total),
        "warnings": warnings,
    }
    if json:
        print_json(result)
        return
    from distlaw.report.tables import flops_table

    console().print(flops_table(result))
    print_warnings(warnings)

"""The bodies of ONNX scans, as readers other than onnxruntime want them."""

import onnx_ir as ir


def scans(model: ir.Model) -> list[ir.Node]:
    """Return the `Scan` nodes of a model."""
    return [node for node in model.graph if node.op_type == 'Scan']


def type_inputs(model: ir.Model) -> None:
    """Declare the type of what each body reads: that of what the scan is given."""
    for scan in scans(model):
        [kind] = {str(v.type): v.type for v in scan.inputs if v.type}.values()
        for value in scan.attributes['body'].as_graph().inputs:
            value.type = value.type or kind


def pass_captures(model: ir.Model) -> None:
    """Hand each `Scan` the values that its body captures as states that stay.

    ONNX allows bodies to read values around them. OpenVINO 2026.4 counts them as
    inputs, and refuses the node.
    """
    for scan in scans(model):
        _pass_captures(scan)


def _pass_captures(scan: ir.Node) -> None:
    body = scan.attributes['body'].as_graph()
    own = {*body.inputs, *(value for node in body for value in node.outputs)}
    read = [value for node in body for value in node.inputs if value is not None]
    for outer in dict.fromkeys(value for value in read if value not in own):
        place = len(scan.inputs) - scan.attributes['num_scan_inputs'].as_int()
        names = f'{scan.outputs[-1].name}_{outer.name}'  # two scans may share one
        inner = like(outer, f'{names}_in')
        for node in list(body):
            for i, value in enumerate(node.inputs):
                if value is outer:
                    node.replace_input_with(i, inner)
        kept = like(outer, f'{names}_out')
        body.append(ir.Node('', 'Identity', [inner], outputs=[kept]))
        body.inputs.insert(place, inner)
        body.outputs.insert(place, kept)

        inputs, count = list(scan.inputs), len(scan.outputs)
        inputs.insert(place, outer)
        scan.resize_inputs(len(inputs))
        for i, value in enumerate(inputs):
            scan.replace_input_with(i, value)
        scan.resize_outputs(count + 1)
        for i in range(count, place, -1):  # make room for the state that stays
            before, after = scan.outputs[i - 1], scan.outputs[i]
            after.name, after.shape, after.type = before.name, before.shape, before.type
            ir.convenience.replace_all_uses_with(before, after)
        last = scan.outputs[place]
        last.name, last.shape, last.type = f'{names}_last', outer.shape, outer.type


def like(value: ir.Value, name: str) -> ir.Value:
    return ir.Value(name=name, shape=value.shape, type=value.type)

"""Scans whose body reads nothing but its own inputs, for readers that ask for that."""

import onnx_ir as ir


def pass_captures(model: ir.Model) -> None:
    """Hand each `Scan` the values that its body captures as states that stay.

    ONNX allows bodies to read values around them. OpenVINO 2026.4 counts them as
    inputs, and refuses the node.
    """
    for node in model.graph:
        if node.op_type == 'Scan':
            _pass_captures(node)


def _pass_captures(scan: ir.Node) -> None:
    body = scan.attributes['body'].as_graph()
    own = {*body.inputs, *(value for node in body for value in node.outputs)}
    read = [value for node in body for value in node.inputs if value is not None]
    for outer in dict.fromkeys(value for value in read if value not in own):
        place = len(scan.inputs) - scan.attributes['num_scan_inputs'].as_int()
        inner = like(outer, 'in')
        for node in list(body):
            for i, value in enumerate(node.inputs):
                if value is outer:
                    node.replace_input_with(i, inner)
        kept = like(outer, 'out')
        body.append(ir.Node('', 'Max', [inner, inner], outputs=[kept]))
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
        last.name, last.shape, last.type = f'{outer.name}_last', outer.shape, outer.type


def like(value: ir.Value, ending: str) -> ir.Value:
    name = f'{value.name}_{ending}'
    return ir.Value(name=name, shape=value.shape, type=value.type)

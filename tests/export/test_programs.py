"""Networks as programs of `torch.export`: saved, loaded and run without their class."""

import logging

import pytest
import torch
from torch.export import Dim

from mmmambamixer import TSM2, ViM2

IMAGE = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def small_vim2():
    """Return a network whose stage has two channel mixers, which share sizes."""
    arch = dict(embed_dims=(8,), depths=(4,))
    return ViM2(arch=arch, d_state=4, grid_size=3, out_indices=(0,)).eval()


def exported(model, example, axes, *, strict=False):
    """Without gradients: with them the scans would keep states for a backward."""
    with torch.no_grad():
        return torch.export.export(
            model, (example,), dynamic_shapes=(axes,), strict=strict
        )


@pytest.mark.parametrize('strict', [False, True])
def test_a_backbone_of_open_sizes_saved_and_loaded(tmp_path, strict):
    model = small_vim2()
    program = exported(model, torch.randn(2, 3, 40, 56), IMAGE, strict=strict)
    torch.export.save(program, tmp_path / 'x.pt2')
    loaded = torch.export.load(tmp_path / 'x.pt2').module()
    for shape in ((1, 3, 37, 53), (4, 3, 64, 32)):
        x = torch.randn(shape)
        with torch.no_grad():
            assert torch.equal(loaded(x)[0], model(x)[0])


def test_a_forecaster_in_batches_of_any_size(tmp_path):
    model = TSM2(look_back=24, horizon=6, variates=3, patch_len=6, stride=6).eval()
    torch.nn.init.normal_(model.head.weight)  # it starts at 0
    program = exported(model, torch.randn(2, 24, 3), {0: Dim.DYNAMIC})
    torch.export.save(program, tmp_path / 'x.pt2')
    loaded = torch.export.load(tmp_path / 'x.pt2').module()
    x = torch.randn(5, 24, 3)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


@pytest.mark.slow
def test_a_backbone_compiled_ahead_of_time(tmp_path):
    model = small_vim2()
    program = exported(model, torch.randn(2, 3, 40, 56), IMAGE)
    package = torch._inductor.aoti_compile_and_package(
        program, package_path=str(tmp_path / 'x.pt2')
    )
    compiled = torch._inductor.aoti_load_package(package)
    for shape in ((2, 3, 40, 56), (3, 3, 64, 32)):
        x = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x)[0], model(x)[0])

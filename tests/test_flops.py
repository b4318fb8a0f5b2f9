"""FLOPs of our ops in MMEngine's analyser, in our tool and in the stock ones."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from mmengine.analysis.print_helper import _format_size
from mmengine.config import Config
from PIL import Image
from torch import nn
from warm import FRAMEWORKS, python

from mmmambamixer import ViM2
from mmmambamixer.models.layers import S6
from mmmambamixer.ops import CROSS, Route, scan_conv, selective_scan


class Scan(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.A = nn.Parameter(-torch.rand(d, n))

    def forward(self, u):
        B = u.new_ones(len(u), self.A.shape[1], u.shape[-1])
        return selective_scan(u, u, self.A, B, B)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.s6 = S6(d_inner=8, d_state=3, dt_rank=2, routes=CROSS)

    def forward(self, u):
        return self.s6(u, height=2, width=5)


class Conv(nn.Module):
    def __init__(self, *features):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 3, *features))
        self.bias = nn.Parameter(torch.rand(2, *features))

    def forward(self, v):
        routes = (Route.ROWS, Route.ROWS_BACKWARD)
        return scan_conv(v, self.weight, self.bias, routes=routes)


@pytest.mark.parametrize('features', [(), (8,)])
def test_a_scan_conv_counts_its_taps(features):
    flops = FlopAnalyzer(Conv(*features), torch.randn(4, 5, 8)).by_operator()
    assert flops['scan_conv'] == 2 * 3 * 4 * 5 * 8


def test_a_selective_scan_counts_9_b_l_d_n_plus_b_l_d():
    flops = FlopAnalyzer(Scan(4, 3), torch.randn(2, 4, 7)).by_operator()
    assert flops['selective_scan'] == 9 * 2 * 7 * 4 * 3 + 2 * 7 * 4


def test_a_cross_selective_scan_counts_four_scans_and_their_delta():
    b, l, d, n, r = 2, 10, 8, 3, 2
    flops = FlopAnalyzer(Tokens(), torch.randn(b, l, d)).by_operator()
    scans = 4 * (9 * b * l * d * n + b * l * d + b * l * d * r)
    assert flops['cross_selective_scan'] == scans
    assert flops['linear'] == b * l * d * 4 * (r + 2 * n)


def test_the_whole_network_counts_its_scans():
    model = ViM2(arch=dict(embed_dims=(8,), depths=(2,)), d_state=2, out_indices=(0,))
    info = get_model_complexity_info(model.eval(), (3, 12, 8))
    analyzer = FlopAnalyzer(model, torch.randn(1, 3, 12, 8))
    by_operator = analyzer.by_operator()
    l, e = 3 * 2, 16
    token = 4 * l * e * (9 * 2 + 1 + 1)  # rank ceil(8 / 16) = 1
    channel = 4 * 8 * l * (9 * 2 + 1 + 4)  # rank ceil(49 / 16) = 4
    assert by_operator['cross_selective_scan'] == 2 * token + channel
    assert by_operator['scan_conv'] == 4 * 4 * 8 * l  # scans, taps
    assert by_operator['gated_norm'] == 5 * (2 * l * e + l * 8)
    assert by_operator['weighted_sum'] == (1 + 2 + 3) * l * 8
    assert info['flops'] == analyzer.total()
    assert not [op for op in analyzer.unsupported_ops() if 'mmmambamixer' in op]


ROOT = Path(__file__).parents[1]
BACKBONE = dict(
    type='mmmambamixer.ViM2',
    arch=dict(embed_dims=(8, 16), depths=(2, 1)),
    out_indices=(0, 1),
    d_state=4,
)
HEADS = dict(in_channels=16, channels=8, num_classes=3)
CLASSIFIER = dict(
    type='ImageClassifier',
    backbone=BACKBONE | dict(out_indices=(1,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=16),
)
SEGMENTER = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor'),
    backbone=BACKBONE,
    decode_head=dict(type='FCNHead', in_index=1, num_convs=1, **HEADS),
    auxiliary_head=dict(type='FCNHead', in_index=1, num_convs=1, **HEADS),
    test_cfg=dict(mode='whole'),
)
DETECTOR = dict(
    backbone=dict(_delete_=True, **BACKBONE),
    neck=dict(in_channels=[8, 16], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=8, num_classes=2),
        mask_roi_extractor=dict(out_channels=8),
        mask_head=dict(in_channels=8, conv_out_channels=8, num_classes=2),
    ),
    test_cfg=dict(rpn=dict(max_per_img=3)),
)
MODELS = dict(mmpretrain=CLASSIFIER, mmdet=DETECTOR, mmseg=SEGMENTER)
BASES = dict(mmdet="_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n")
LOADER = """
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        ann_file='boxes.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('box', 'ring')),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(96, 64), keep_ratio=True),
            dict(type='PackDetInputs'),
        ],
    ),
)
"""


STOCK = """
import runpy, sys
from mmengine import analysis
count = analysis.get_model_complexity_info

def with_inputs_or_shape(model, input_shape=None, inputs=None, **options):
    shape = input_shape if inputs is None else None
    return count(model, shape, inputs=inputs, **options)

analysis.get_model_complexity_info = with_inputs_or_shape
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
"""Runs a stock tool; that of mmseg 1.2.2 passes both, which mmengine refuses."""


def write_config(framework: str, folder: Path) -> Path:
    """Write a config that a user of the framework would write: no base of ours."""
    path = folder / 'config.py'
    lines = [f'model = {MODELS[framework]}', f'default_scope = {framework!r}']
    path.write_text(BASES.get(framework, '') + '\n'.join(lines) + LOADER)
    Image.new('RGB', (96, 64)).save(folder / 'a.png')
    image = dict(id=1, file_name='a.png', height=64, width=96)
    names = [dict(id=1, name='box'), dict(id=2, name='ring')]
    coco = dict(images=[image], annotations=[], categories=names)
    (folder / 'boxes.json').write_text(json.dumps(coco))
    return path


def load_tool():
    path = ROOT / 'tools/analysis_tools/get_flops.py'
    spec = importlib.util.spec_from_file_location('get_flops', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.mark.parametrize('framework', MODELS)
def test_the_stock_tools_count_the_same(framework, tmp_path):
    """In a process that knows of us by the backbone's type only."""
    package = Path(pytest.importorskip(framework).__file__).parent
    config = write_config(framework, tmp_path)
    args = [package / '.mim/tools/analysis_tools/get_flops.py', config]
    if framework != 'mmdet':  # whose tool takes its image from the data set
        args += ['--shape', '64', '96']
    run = python('-c', STOCK, *args, imported=FRAMEWORKS, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]

    tool = load_tool()
    model = tool.build_model(Config.fromfile(config))
    flops = tool.analyze(model, framework, (64, 96))
    total = flops.total()
    if framework == 'mmpretrain':  # whose tool stops before the head
        total -= flops.by_module()['head']
    assert f'Flops: {_format_size(int(total))}\n' in run.stdout
    assert tool.scans(flops.by_operator()) > 0.1 * total


def test_the_tool_names_the_shape_and_both_parameters(tmp_path, monkeypatch, capsys):
    pytest.importorskip('mmseg')
    config = write_config('mmseg', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['get_flops.py', str(config)])
    tool = load_tool()
    tool.main()
    output = capsys.readouterr().out
    assert 'EncoderDecoder' in output
    assert 'image 512 x 2048' in output
    model = tool.build_model(Config.fromfile(config))
    whole, backbone = tool.millions(model), tool.millions(model.backbone)
    assert f'parameters: {whole}, backbone {backbone}\n' in output

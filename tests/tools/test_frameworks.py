"""`tools/train.py` and `tools/test.py` on a detector and a segmenter with ViM2."""

import json
import pickle
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TEST = ROOT / 'tools/test.py'


def test_training_leaves_a_checkpoint_of_plain_data(trained):
    for framework, path in trained.items():
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint['meta']['epoch'] == 1, framework
        assert checkpoint['meta']['dataset_meta']['classes'][-1] == 'stripe'


def test_detections_are_dumped_with_masks_and_drawn(configs, trained, run, tmp_path):
    args = ['--out', 'predicted.pkl', '--show-dir', 'shown']
    output = run(TEST, configs['mmdet'], trained['mmdet'], *args, cwd=tmp_path)
    assert 'coco/bbox_mAP' in output and 'coco/segm_mAP' in output
    with open(tmp_path / 'predicted.pkl', 'rb') as file:
        results = pickle.load(file)
    assert [Path(r['img_path']).name for r in results] == [f'{i}.png' for i in range(4)]
    for result in results:
        found = result['pred_instances']
        assert len(found['masks']) == len(found['scores']) == 5
        assert found['masks'][0]['size'] == list(result['ori_shape'])
    assert len(list(tmp_path.rglob('shown/*.png'))) == 4


def test_boxes_are_merged_over_mirrored_images(configs, trained, run, tmp_path):
    """`--tta` of a detector whose config says nothing of it."""
    state = torch.load(trained['mmdet'], weights_only=True)['state_dict']
    boxes = {key: value for key, value in state.items() if 'mask_head' not in key}
    torch.save(dict(state_dict=boxes), tmp_path / 'boxes.pth')
    no_masks = ['model.roi_head.mask_head=None', 'test_evaluator.metric=bbox']
    no_masks += ['model.roi_head.mask_roi_extractor=None']
    args = ['--tta', '--out', 'm.json', '--out-item', 'metrics']
    args += ['--cfg-options', *no_masks]
    run(TEST, configs['mmdet'], tmp_path / 'boxes.pth', *args, cwd=tmp_path)
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert 0 <= metrics['coco/bbox_mAP'] <= 1 and 'coco/segm_mAP' not in metrics


def test_mirrored_label_maps_are_averaged_and_drawn(configs, trained, run, tmp_path):
    args = ['--tta', '--show-dir', 'shown', '--out', 'm.json', '--out-item', 'metrics']
    run(TEST, configs['mmseg'], trained['mmseg'], *args, cwd=tmp_path)
    assert 0 < json.loads((tmp_path / 'm.json').read_text())['mIoU'] <= 100
    assert len(list(tmp_path.rglob('shown/**/*.png'))) == 4


SENTENCES = [
    (['--show-dir', 'x', '--interval', 2], 'draws every test image'),
    (['--tta'], "mmdet's test-time augmentation merges boxes only"),
    (['--out', 'x.json'], r'--out for --out-item pred ends in \.pkl, \.pickle, got x'),
    (['--out', 'x.csv', '--out-item', 'metrics'], r'ends in \.json, \.yaml'),
]


@pytest.mark.parametrize(('args', 'sentence'), SENTENCES)
def test_what_cannot_be_tested_so(args, sentence, configs, trained, call):
    with pytest.raises(SystemExit, match=f'^error: .*{sentence}'):
        call('test.py', configs['mmdet'], trained['mmdet'], *args)

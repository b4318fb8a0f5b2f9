"""A trained model as safetensors in the tools: the same answers, and no resuming."""

from filecmp import cmpfiles

import pytest
import torch


def test_predictions_of_both_files_are_the_same(
    configs, trained, scenes, tmp_path, call, capsys
):
    config, checkpoint = configs['mmseg'], trained['mmseg']
    path, before, after = (tmp_path / x for x in ('x.safetensors', 'before', 'after'))
    call('convert_checkpoint.py', checkpoint, path)
    assert 'left out: message_hub, optimizer' in capsys.readouterr().out
    for file, out in ((checkpoint, before), (path, after)):
        call('predict.py', config, file, scenes / 'images', '--out', out)
    names = [str(picture.relative_to(before)) for picture in before.rglob('*.png')]
    assert len(names) >= 8
    _, *others = cmpfiles(before, after, names, shallow=False)
    assert others == [[], []]
    call('convert_checkpoint.py', path, 'back.pth')
    old, new = (torch.load(p, weights_only=True) for p in (checkpoint, 'back.pth'))
    assert new['meta'] == old['meta']
    with pytest.raises(SystemExit, match=r'x\.safetensors holds no message_hub, optim'):
        call('train.py', config, '--resume', path)

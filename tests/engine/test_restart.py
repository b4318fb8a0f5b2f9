"""A launcher that starts a run again: torchrun and Slurm."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmmambamixer.checkpoints.storage import write_sealed
from mmmambamixer.engine.restart import RESTARTS, STARTED, resume_if_restarted

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    for name in RESTARTS:
        monkeypatch.delenv(name, raising=False)
    return Config(dict(work_dir=str(tmp_path / 'run'), resume=False, load_from='start'))


def save(path: Path) -> str:
    write_sealed(path, lambda file: torch.save(dict(meta=dict(iter=1)), file))
    return str(path)


@pytest.mark.parametrize('launcher', RESTARTS)
def test_a_restarted_run_goes_on_from_its_own_checkpoints(
    launcher, config, monkeypatch
):
    folder = Path(config.work_dir)
    folder.mkdir()
    save(folder / 'epoch_9.pth')  # of an earlier run
    os.utime(folder / 'epoch_9.pth', (0, 0))
    assert not resume_if_restarted(config) and (folder / STARTED).exists()
    monkeypatch.setenv(launcher, '1')
    assert not resume_if_restarted(config)
    assert (config.resume, config.load_from) == (False, 'start')
    own = save(folder / 'epoch_1.pth')
    (folder / 'epoch_2.pth').write_bytes(b'cut off')
    (folder / 'best_x_epoch_2.pth').write_bytes(b'holds no optimiser')
    assert resume_if_restarted(config)
    assert (config.resume, config.load_from) == (True, own)


def test_a_job_that_was_not_restarted_begins_anew(config, monkeypatch):
    monkeypatch.setenv('SLURM_RESTART_COUNT', '')
    folder = Path(config.work_dir)
    folder.mkdir()
    assert not resume_if_restarted(config)
    save(folder / 'epoch_1.pth')
    first = (folder / STARTED).stat().st_mtime_ns
    time.sleep(0.05)
    assert not resume_if_restarted(config)
    assert (folder / STARTED).stat().st_mtime_ns > first


def test_checkpoints_may_lie_elsewhere(config, tmp_path, monkeypatch):
    hook = dict(out_dir=str(tmp_path / 'elsewhere'), filename_tmpl='at[0]_{}.pth')
    config.default_hooks = dict(checkpoint=hook)
    assert not resume_if_restarted(config)
    folder = tmp_path / 'elsewhere' / 'run'
    folder.mkdir(parents=True)
    own = save(folder / 'at[0]_7.pth')
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '2')
    assert resume_if_restarted(config) and config.load_from == own


def test_a_folder_that_is_the_work_folder_by_another_name(config, monkeypatch):
    """The runner knows the whole path only, so the two differ for it."""
    monkeypatch.chdir(Path(config.work_dir).parent)
    config.work_dir = 'run'
    config.default_hooks = dict(checkpoint=dict(out_dir='run'))
    assert not resume_if_restarted(config)
    Path('run/run').mkdir()
    own = save(Path('run/run/epoch_1.pth'))
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    assert resume_if_restarted(config) and config.load_from == own


def test_a_restart_without_a_run_says_so(config, monkeypatch, capsys):
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    assert not resume_if_restarted(config)
    told = f'restarted, but there is no run in {config.work_dir}: starts anew'
    assert told in capsys.readouterr().out


def test_on_remote_storage_the_pointer_decides(config, monkeypatch):
    config.default_hooks = dict(checkpoint=dict(out_dir='s3://bucket'))
    assert not resume_if_restarted(config)
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    assert not resume_if_restarted(config)
    pointer = Path(config.work_dir) / 'last_checkpoint'
    pointer.write_text('s3://bucket/run/epoch_3.pth')
    assert resume_if_restarted(config)
    assert config.load_from == 's3://bucket/run/epoch_3.pth'
    os.utime(pointer, (0, 0))  # of an earlier run
    assert not resume_if_restarted(config)


STUB = '#!/usr/bin/env bash\necho "$(basename "$0") $*" >> "$CALLS"\n'


@pytest.mark.parametrize('code, again', [(138, True), (143, False), (0, False)])
def test_slurm_job_queues_again_when_its_time_is_up(code, again, tmp_path):
    """The batch script that is submitted runs with stand-ins for Slurm's commands."""
    stubs = dict(
        sbatch=STUB + 'cat > "$CALLS.job"\n',
        srun=STUB + f'exit {code}\n',
        scontrol=STUB,
    )
    for name, text in stubs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / 'calls'
    env = dict(os.environ, CALLS=str(calls), SLURM_JOB_ID='7', GPUS='2')
    env['PATH'] = f'{tmp_path}{os.pathsep}{env["PATH"]}'
    env['GPUS_PER_NODE'] = '2'
    work_dir = tmp_path / 'a run'
    script = ['bash', str(ROOT / 'tools/slurm_train.sh'), 'gpu', 'job', 'config.py']
    options = [str(work_dir), '--cfg-options', 'a="[1, 2]"']
    subprocess.run([*script, *options], env=env, check=True, timeout=20)
    job = subprocess.run(['bash', f'{calls}.job'], env=env, timeout=20)
    assert job.returncode == code
    submitted, ran, *rest = calls.read_text().splitlines()
    for option in ('--requeue', '--signal=USR1@120', '--ntasks=2', '--partition=gpu'):
        assert option in submitted.split()
    assert ran.startswith('srun --kill-on-bad-exit=1 python -u ')
    train = shlex.split(Path(f'{calls}.job').read_text().splitlines()[2])
    assert train[train.index('--work-dir') + 1] == str(work_dir)
    assert 'a="[1, 2]"' in train
    assert rest == (['scontrol requeue 7'] if again else [])


CONFIG = """
_base_ = {base!r}
model = dict(
    backbone=dict(arch=dict(embed_dims=(8, 16), depths=(1, 1)), out_indices=(1,)),
    head=dict(in_channels=16),
)
custom_imports = dict(
    imports=['mmmambamixer', 'mmmambamixer.patches', 'die'], allow_failed_imports=False
)
custom_hooks = [dict(type='Die')]
train_dataloader = dict(num_workers=0, persistent_workers=False, batch_size=64)
train_cfg = dict(by_epoch=True, max_epochs=2)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
"""
DIE = """
import os
import signal

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Die(Hook):
    '''Kill the second process in the second epoch of the first try.'''

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        first = os.environ.get('TORCHELASTIC_RESTART_COUNT') == '0'
        if os.environ.get('DIE') and first and runner.epoch == 1 and get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_torchrun_starts_again_and_ends_with_the_same_bits(tmp_path):
    """One of two processes is killed; the end is that of a run without a fault."""
    pytest.importorskip('mmpretrain')
    make = [sys.executable, str(ROOT / 'tools/make_digits.py'), 'classes']
    subprocess.run([*make, '--out', str(tmp_path / 'data/digits')], check=True)
    (tmp_path / 'die.py').write_text(DIE)
    base = str(ROOT / 'configs/demo/vim2_digits.py')
    (tmp_path / 'run.py').write_text(CONFIG.format(base=base))
    script = ['bash', str(ROOT / 'tools/dist_train.sh'), 'run.py', '2']
    weights = []
    for die in ('', '1'):
        env = dict(os.environ, DIE=die, PYTHONPATH=str(tmp_path), OMP_NUM_THREADS='1')
        env['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
        env['PORT'] = str(20000 + os.getpid() % 20000)
        result = subprocess.run(
            [*script, '--work-dir', f'run{die}', '--deterministic'],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        told = result.stdout + result.stderr
        assert result.returncode == 0, told[-4000:]
        assert ('restarted: resumes from' in told) == bool(die)
        path = tmp_path / f'run{die}' / 'epoch_2.pth'
        weights.append(torch.load(path, weights_only=True)['state_dict'])
    first, second = weights
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)

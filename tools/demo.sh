#!/usr/bin/env bash
# The whole way once: data, training, test, pictures. `make demo` runs it.
set -euo pipefail
CONFIG=configs/demo/vim2_digits.py
OUT=work_dirs/demo
DATA=data/digits

echo '[demo] 1/4 writing handwritten digits (seconds)'
python tools/make_digits.py classes --out $DATA

echo '[demo] 2/4 training a small ViM2 (about 3 minutes on 2 cores; eta in each line)'
rm -rf $OUT
start=$SECONDS
python tools/train.py $CONFIG --work-dir $OUT
minutes=$(python -c "print(f'{($SECONDS - $start) / 60:.1f}')")
checkpoint=$(cat $OUT/last_checkpoint)

echo '[demo] 3/4 testing it on the held-out digits (seconds)'
python tools/test.py $CONFIG "$checkpoint" --work-dir $OUT/test \
    --out $OUT/metrics.json --out-item metrics

echo '[demo] 4/4 drawing the results (seconds)'
python tools/plot_curves.py $OUT
python tools/predict.py $CONFIG "$checkpoint" $DATA/test --out $OUT > $OUT/predictions.txt

accuracy=$(python -c "import json; print(f'{json.load(open(\"$OUT/metrics.json\"))[\"accuracy/top1\"]:.2f}')")
echo
echo "[demo] held-out accuracy $accuracy % after $minutes minutes of training"
echo "[demo] curves:      $OUT/curves.png"
echo "[demo] predictions: $OUT/predictions.png"
echo "[demo] checkpoint:  $checkpoint"

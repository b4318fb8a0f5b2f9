#!/usr/bin/env bash
# The whole way once: data, training, test, pictures. `make demo`, `make demo-det`,
# `make demo-seg` and `make demo-forecast` run it as demo.sh digits, det, seg and forecast.
set -euo pipefail

forecast() {
    local config=configs/demo/tsm2_weather_year.py out=work_dirs/demo-forecast
    local data=data/weather_year
    local start checkpoint seconds
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # so small a model gains nothing by more
    echo "[demo] 1/4 writing a year of hourly weather to $data (seconds)"
    python tools/make_series.py --out $data

    echo '[demo] 2/4 training a small TSM2 on it (about a minute); eta in each line'
    rm -rf $out
    start=$SECONDS
    python tools/train.py $config --work-dir $out
    seconds=$((SECONDS - start))
    checkpoint=$(echo $out/best_blend_mse_epoch_*.pth)

    echo '[demo] 3/4 testing it on the last 73 days (seconds)'
    python tools/test.py $config "$checkpoint" --work-dir $out/test \
        --out $out/metrics.json --out-item metrics

    echo '[demo] 4/4 forecasting the last day (seconds)'
    python tools/predict.py $config "$checkpoint" $data/weather_year.csv --out $out --hold-out
    echo
    echo "[demo] errors on the test part, after $seconds seconds of training:"
    python tools/benchmark_forecasting.py summary $config $out/metrics.json | tail -n 4
    echo "[demo] forecast:   $out/forecast.csv"
    echo "[demo] picture:    $out/predictions.png"
    echo "[demo] checkpoint: $checkpoint"
}

case ${1:-} in
digits)
    config=configs/demo/vim2_digits.py
    model='a small ViM2 on handwritten digits (about 3 minutes on 2 cores)'
    format=classes data=data/digits out=work_dirs/demo
    metrics='accuracy/top1' ;;
det)
    config=configs/demo/mask-rcnn_vim2_scenes.py
    model='Mask R-CNN with a small ViM2 on scenes of digits (about 4 minutes on 2 cores)'
    format=scenes data=data/digit_scenes out=work_dirs/demo-det
    metrics='coco/bbox_mAP_50 coco/segm_mAP_50' ;;
seg)
    config=configs/demo/upernet_vim2_scenes.py
    model='UperNet with a small ViM2 on scenes of digits (about 7 minutes on 2 cores)'
    format='scenes --counts 4400 200 --digits 5 9' data=data/crowded_scenes
    out=work_dirs/demo-seg
    metrics='mIoU aAcc' ;;
forecast)
    forecast
    exit ;;
*)
    echo "usage: tools/demo.sh digits | det | seg | forecast, got '${1:-}'" >&2
    exit 2 ;;
esac

echo "[demo] 1/4 writing handwritten digits to $data (up to half a minute)"
# shellcheck disable=SC2086  # format may hold options
python tools/make_digits.py $format --out $data

echo "[demo] 2/4 training $model; eta in each line"
rm -rf $out
start=$SECONDS
python tools/train.py $config --work-dir $out
seconds=$((SECONDS - start))
checkpoint=$(cat $out/last_checkpoint)

echo '[demo] 3/4 testing it on held-out digits (seconds)'
python tools/test.py $config "$checkpoint" --work-dir $out/test \
    --out $out/metrics.json --out-item metrics

echo '[demo] 4/4 drawing the results (up to a minute)'
python tools/plot_curves.py $out --metric ${metrics%% *}
python tools/predict.py $config "$checkpoint" $data/test --out $out > $out/predictions.txt

echo
python - $out/metrics.json $seconds $metrics <<'END'
import json, sys
path, seconds, *names = sys.argv[1:]
metrics = json.load(open(path))
told = ', '.join(f'{name} {metrics[name]:.4g}' for name in names)
print(f'[demo] on held-out digits, after {int(seconds) / 60:.1f} minutes: {told}')
END
echo "[demo] curves:      $out/curves.png"
echo "[demo] predictions: $out/predictions.png"
echo "[demo] checkpoint:  $checkpoint"

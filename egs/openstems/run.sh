#!/usr/bin/env bash
# Build a data set of multitrack music from packages, train a network on it and evaluate it.
#
#   ./run.sh --hours 1                        all stages: an hour of data, a small network
#   ./run.sh --stage 0 --stop_stage 0 --hours 5 --workers 8
#   ./run.sh --stage 1 --row conf/large.yml   trains another network on the data that are there
#
# Stages, from --stage (0) to --stop_stage (4):
#   0  fetch the materials, build the data set, print its statistics
#   1 to 4  those of ../musdb18hq/BSRNN: find active segments, train (goes on where it was
#           interrupted), evaluate on the test songs, prepare the model for publication
#
# Options of stage 0, all as --name value:
#   root        folder of the data set (data)
#   hours       length of all songs together (1)
#   songs       number of songs instead of hours
#   seconds     length of a song (30)
#   seed        of everything random, in the data and in training (1)
#   profile     clean: material under permissive licences alone; full: GPL and CC-BY-SA too (clean)
#   clients     programs to take material from ("pip npm apt"); git adds recordings of people
#   without     names of materials to leave out
#   materials   folder of the materials (the user's cache)
#   voice_phrases  that a voice is learnt from, once; a few make a quick trial (48)
#   workers     processes (by cores and memory)
#
# Options of stages 1 to 4:
#   row         a file of conf or of the other recipe's rows (conf/small.yml)
#   source      for rows of one source
#   tag         added to the name of the run's folder, exp/train_<row>_<source>_<tag>
#   exp         folder that holds the runs' folders (exp)
#   set         changes of the configuration: "training.batch_size=8 optim.lr=0.002"
#   precision, accelerator, devices, num_nodes, overfit, track_epochs, museval
#               as in ../musdb18hq/BSRNN/run.sh
#   python      interpreter (the project's .venv, or python)

set -e
set -o pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

stage=0
stop_stage=4
root=data
hours=1
songs=
seconds=30
seed=1
profile=clean
clients="pip npm apt"
without=
materials=
voice_phrases=48
workers=
row=conf/small.yml
source=
tag=
exp=exp
set=
precision=
accelerator=auto
devices=1
num_nodes=1
overfit=0
track_epochs=0
museval=0
python=$(cd ../.. && pwd)/.venv/bin/python
[[ -x $python ]] || python=python

. ../musdb18hq/BSRNN/utils/parse_options.sh

# Relative paths are meant from where this script was called; what it brings along, from here.
[[ $root == data ]] && root=$here/data
[[ $exp == exp ]] && exp=$here/exp
[[ $root == /* ]] || root=$called_from/$root
[[ $exp == /* ]] || exp=$called_from/$exp
[[ -z $materials || $materials == /* ]] || materials=$called_from/$materials
if [[ $row == *.yml && $row != /* ]]; then
    if [[ -f $called_from/$row ]]; then row=$called_from/$row; else row=$here/$row; fi
fi

if [[ $stage -le 0 && $stop_stage -ge 0 ]]; then
    read -r -a names <<<"$clients"
    choice=(--profile "$profile" --clients "${names[@]}")
    read -r -a names <<<"$without"
    [[ ${#names[@]} -eq 0 ]] || choice+=(--without "${names[@]}")
    [[ -z $materials ]] || choice+=(--materials "$materials")
    amount=(--hours "$hours")
    [[ -z $songs ]] || amount=(--songs "$songs")
    amount+=(--seconds "$seconds" --seed "$seed" --voice-phrases "$voice_phrases")
    [[ -z $workers ]] || amount+=(--workers "$workers")
    echo "Stage 0: building the data in $root"
    "$python" generate.py fetch "${choice[@]}"
    "$python" generate.py build --root "$root" "${amount[@]}" "${choice[@]}"
    "$python" generate.py statistics "$root" ${workers:+--workers "$workers"}
fi
[[ $stop_stage -ge 1 ]] || exit 0

# The user's own changes come last, so that --set training.seed=2 gives new examples of the same data.
changes="data.validation_tracks=$root/validation_tracks.txt data.infos=$root/infos.json"
changes+=" training.seed=$seed"
options=()
for name in source tag precision accelerator devices num_nodes overfit track_epochs museval; do
    [[ -z ${!name} ]] || options+=("--$name" "${!name}")
done
exec ../musdb18hq/BSRNN/run.sh --stage "$((stage > 1 ? stage : 1))" --stop_stage "$stop_stage" \
    --root "$root" --musdb18hq false --row "$row" --exp "$exp" \
    --set "$changes${set:+ $set}" --python "$python" "${options[@]}"

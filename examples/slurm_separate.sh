#!/usr/bin/env bash
# Separate the songs of a folder as an array of SLURM jobs, each of which takes its own songs.
#
#   sbatch --array=1-16 examples/slurm_separate.sh FOLDER OUTPUT [options of asteroid-bsrnn separate]
#
# The folders are on a drive that all machines see. Submitted again with the same numbers, the array
# leaves out what is finished. Without SLURM, set the two variables (see docs/clusters.md).
#SBATCH --job-name=stems
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
set -euo pipefail

folder=$1
output=$2
exec asteroid-bsrnn separate "$folder" -o "$output" --skip-existing \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "${@:3}"

#!/usr/bin/env bash
# The example from raw files to a tested model, then once more to show that nothing is done twice.
# Needs `tillage` on the PATH; the store is made in .tillage/ beside the plan.
set -eu
cd "$(dirname "$0")"

step() { printf '\n$ %s\n' "$*"; "$@"; }

step tillage check
step tillage run
step tillage run
step tillage show
step tillage verify

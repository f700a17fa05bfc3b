#!/usr/bin/env bash
# An example from raw files to a tested model, then once more to show that nothing is done twice.
# Usage: bash examples/demo.sh examples/customer-service
# Needs `tillage` on the PATH; the store is made in .tillage/ beside the example's plan.
set -eu
cd "${1:?name the folder of an example, such as examples/customer-service}"

step() { printf '\n$ %s\n' "$*"; "$@"; }

step tillage check
step tillage run
step tillage run
step tillage show
step tillage verify

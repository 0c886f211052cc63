#!/usr/bin/env bash
# Makes the reference data again with the pinned libraries and compares it with what the repository keeps.
#   tools/goldens/regenerate.sh OUT       (OUT: a folder; its virtual environment of 6 GB lies in OUT/venv)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: regenerate.sh OUT}
mkdir -p "$out"
[ -x "$out/venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$out/venv"
"$out/venv/bin/pip" install -q -r "$here/requirements.txt"
"$out/venv/bin/pip" install -q --no-deps k-diffusion==0.1.1.post1
export OMP_NUM_THREADS=1
"$out/venv/bin/python" "$here/make.py" --out "$out/goldens"
"$out/venv/bin/python" "$here/compare.py" "$here/../../tests/goldens" "$out/goldens"

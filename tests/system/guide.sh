#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lab: container
# timeout: 180
# copy: doc/migrate-from-guide.md:/lab/guide.md
# What the page for those who come from containers says works as it stands there.
. /lab/system/lib.sh

timeout 170 python3 /lab/system/guide.py /lab/guide.md || fail "the guide is wrong"

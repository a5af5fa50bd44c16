/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/apply.h"

/* What is left to do when the layers are there. */

/* Gives the user of the sandbox a name, and makes the folder that commands start in. Reports. */
int finish_tree(TreeWriter *w, const Plan *plan);

/* The text of IMAGE_CONFIG_NAME: owned by the caller. Reports. */
int finish_config(const Plan *plan, const Apply *a, char **ret);

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * meter.c and meter_sample.c. Internal to them.
 */
#pragma once

/* A minute's numbers are asked for when it begins. */
void meter_sample_sweep(void);

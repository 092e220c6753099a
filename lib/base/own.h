/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ownership of locals: AUTO_FREE and AUTO_CLOSE release at the end of the scope unless the
 * value was handed over with TAKE_PTR or take_fd.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void own_free(void *p)
{
	free(*(void **)p);
}

static inline void own_close(const int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
}

static inline int take_fd(int *fd)
{
	int was = *fd;

	*fd = -1;
	return was;
}

#define AUTO_FREE  __attribute__((cleanup(own_free)))
#define AUTO_CLOSE __attribute__((cleanup(own_close)))
#define TAKE_PTR(p)                         \
	__extension__({                     \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})
#define ARRAY_N(a) (sizeof(a) / sizeof((a)[0]))

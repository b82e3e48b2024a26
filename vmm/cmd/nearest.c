// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nearest.c - which word did they mean
 *
 * Edit distance: how many letters to insert, delete, replace, or swap with the next.
 */
#include <string.h>

#include "vmm/cmd/options.h"

#define WORD_MAX 32

static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), k = strlen(b);
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	if (n > WORD_MAX || k > WORD_MAX)
		return ~0u;
	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= k; j++) {
			unsigned best;

			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN_OF(best, d[i - 1][j] + 1);
			best = MIN_OF(best, d[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN_OF(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	return d[n][k];
}

const char *nearest_word(const char *word, const char *const *candidate, size_t count,
			 size_t stride)
{
	const char *nearest = NULL;
	/* Half of the word may be wrong, but not more than three letters. */
	unsigned least = (unsigned)MIN_OF(strlen(word) / 2 + 1, (size_t)4);

	for (size_t i = 0; i < count; i++) {
		const char *c = *(const char *const *)((const char *)candidate + i * stride);
		bool begins = strlen(word) >= 3 && !strncmp(c, word, strlen(word));
		unsigned d = begins ? 0 : distance(word, c);

		if (d < least) {
			least = d;
			nearest = c;
		}
	}
	return nearest;
}

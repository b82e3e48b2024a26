/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * svm.h - the AMD-V back end
 */
#ifndef SVM_SVM_H
#define SVM_SVM_H

struct backend;

extern const struct backend svm_backend;

/* Give back what checking and enabling took, when no processor is enabled any more.  [sleep] */
void svm_cpus_destroy(void);

#endif

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device.c - /dev/kvm, and what opens from it
 *
 * A file of /dev/kvm is the system; its ioctls make files that are VMs, theirs make files
 * that are vCPUs.  A VM lives while a file on it or on one of its vCPUs is open; a vCPU's
 * pages may be mapped, which keeps its file open.  Files keep the vendor module loaded.
 *
 * Only the process that made a VM may use it: guest memory is that process's.
 *
 * Locking: machines_lock guards the list of machines, for look-ups only.  A processor's running
 * comes before its vCPU's lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "host/linux/uapi.h"

#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/fpu/types.h>

#include "api/ioctl.h"
#include "api/linux/module.h"
#include "host/linux/compat.h"
#include "host/linux/linux.h"

#define RUN_BYTES ((size_t)DOOR_RUN_PAGES * PAGE_SIZE)

struct machine {
	refcount_t files;
	struct vm *vm;
	struct mm_struct *mm;
	struct list_head link;		/* of machines */
	struct list_head processors;	/* machines_lock */
};

struct processor {
	struct machine *machine;	/* NULL until it stands for a vCPU */
	struct vcpu *v;
	void *run;
	int fd;				/* reserved, until then */
	struct file *file;
	struct list_head link;
	struct mutex running;		/* a thread is in KVM_RUN, which has its registers in fpu */
	struct fpu_guest fpu;
	bool has_mask;			/* KVM_SET_SIGNAL_MASK */
	sigset_t mask;
};

static LIST_HEAD(machines);
static DEFINE_SPINLOCK(machines_lock);

static void run_pages_free(void *run)
{
	free_pages_exact(run, RUN_BYTES);
}

static void processor_free(struct processor *p)
{
	host_linux_fpu_fini(&p->fpu);
	run_pages_free(p->run);
	kfree(p);
}

static void machine_put(struct machine *m)
{
	struct processor *p, *next;

	if (!refcount_dec_and_test(&m->files))
		return;
	spin_lock(&machines_lock);
	list_del(&m->link);
	spin_unlock(&machines_lock);
	door_vm_destroy(m->vm);
	list_for_each_entry_safe(p, next, &m->processors, link)
		processor_free(p);
	mmdrop(m->mm);
	kfree(m);
}

static struct machine *machine_find(struct vm *vm)
{
	struct machine *m, *found = NULL;

	spin_lock(&machines_lock);
	list_for_each_entry(m, &machines, link)
		if (m->vm == vm)
			found = m;
	spin_unlock(&machines_lock);
	return found;		/* the caller's ioctl has a file open on it */
}

/* --- a vCPU ---------------------------------------------------------------------------- */

static long set_signal_mask(struct processor *p, u64 arg)
{
	struct kvm_signal_mask __user *user = (void __user *)(uintptr_t)arg;
	struct kvm_signal_mask head;
	sigset_t mask;

	if (!arg) {
		p->has_mask = false;
		return 0;
	}
	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(mask))
		return -EINVAL;
	if (copy_from_user(&mask, user->sigset, sizeof(mask)))
		return -EFAULT;
	sigdelsetmask(&mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	p->mask = mask;
	p->has_mask = true;
	return 0;
}

static long vcpu_run_with_fpu(struct processor *p, u64 arg)
{
	long r = mutex_lock_killable(&p->running);

	if (r)
		return r;
	host_linux_fpu_enter(&p->fpu);
	r = ioctl_on(p->machine->vm, p->v, KVM_RUN, arg);
	host_linux_fpu_leave(&p->fpu);
	mutex_unlock(&p->running);
	return r;
}

/* The client's mask is in force while the guest runs, and what it lets through ends that. */
static long run(struct processor *p, u64 arg)
{
	sigset_t before;
	long r;

	if (p->has_mask)
		sigprocmask(SIG_SETMASK, &p->mask, &before);
	r = vcpu_run_with_fpu(p, arg);
	if (p->has_mask)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static long vcpu_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct processor *p = file->private_data;

	if (p->machine->mm != current->mm)
		return -EIO;
	if (request == KVM_RUN)
		return run(p, arg);
	if (request == KVM_SET_SIGNAL_MASK)
		return set_signal_mask(p, arg);
	return ioctl_on(p->machine->vm, p->v, request, arg);
}

static vm_fault_t vcpu_page(struct vm_fault *vmf)
{
	struct processor *p = vmf->vma->vm_file->private_data;

	if (vmf->pgoff >= DOOR_RUN_PAGES)
		return VM_FAULT_SIGBUS;
	if (vmf->pgoff == DOOR_RING_PAGE)
		vmf->page = virt_to_page(door_vm_ring(p->machine->vm));
	else
		vmf->page = virt_to_page((u8 *)p->run + vmf->pgoff * PAGE_SIZE);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vcpu_mapping = { .fault = vcpu_page };

/* A dirty ring has no use but to be shared.  It lives while the file does. */
static int dirty_ring_mmap(struct processor *p, struct vm_area_struct *vma)
{
	u64 bytes = vma->vm_end - vma->vm_start;
	void *ring = door_dirty_ring(p->v, bytes);

	if (!ring || vma->vm_pgoff != KVM_DIRTY_LOG_PAGE_OFFSET ||
	    (vma->vm_flags & (VM_SHARED | VM_EXEC)) != VM_SHARED)
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, page_to_pfn(virt_to_page(ring)), bytes, vma->vm_page_prot);
}

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_pgoff >= KVM_DIRTY_LOG_PAGE_OFFSET)
		return dirty_ring_mmap(file->private_data, vma);
	vma->vm_ops = &vcpu_mapping;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct processor *p = file->private_data;

	if (p->machine)
		machine_put(p->machine);
	else			/* it never came to be a vCPU's */
		processor_free(p);
	return 0;
}

/* The owners are set when a vendor module comes. */
static struct file_operations vcpu_files = {
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/* --- a VM ------------------------------------------------------------------------------ */

static long vm_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct machine *m = file->private_data;

	if (m->mm != current->mm)
		return -EIO;
	return ioctl_on(m->vm, NULL, request, arg);
}

static int vm_release(struct inode *inode, struct file *file)
{
	machine_put(file->private_data);
	return 0;
}

static struct file_operations vm_files = {
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/* --- statistics ------------------------------------------------------------------------- */

struct stats {
	struct machine *machine;
	struct vcpu *v;			/* NULL: the machine's */
};

static ssize_t stats_read(struct file *file, char __user *to, size_t bytes, loff_t *at)
{
	const struct stats *s = file->private_data;
	u32 size = door_stats_bytes(s->v);
	void *copy = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	ssize_t r;

	if (!copy)
		return -ENOMEM;
	door_stats_read(s->machine->vm, s->v, copy);
	r = simple_read_from_buffer(to, bytes, at, copy, size);
	kvfree(copy);
	return r;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats *s = file->private_data;

	machine_put(s->machine);
	kfree(s);
	return 0;
}

static struct file_operations stats_files = {
	.release = stats_release,
	.read = stats_read,
	.llseek = noop_llseek,
};

static int install_stats(struct vm *vm, struct vcpu *v)
{
	struct stats *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!s)
		return -ENOMEM;
	s->machine = machine_find(vm);
	s->v = v;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile("kvm-stats", &stats_files, s, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	file->f_mode |= FMODE_PREAD;
	refcount_inc(&s->machine->files);
	fd_install(fd, file);
	return fd;
free:
	kfree(s);
	return fd;
}

/* For steal time. */
static u64 run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

/* --- what the dispatcher asks ------------------------------------------------------------- */

static int install_vm(struct vm *vm)
{
	struct machine *m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!m)
		return -ENOMEM;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile("kvm-vm", &vm_files, m, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	refcount_set(&m->files, 1);
	m->vm = vm;
	m->mm = current->mm;
	mmgrab(m->mm);
	INIT_LIST_HEAD(&m->processors);
	spin_lock(&machines_lock);
	list_add(&m->link, &machines);
	spin_unlock(&machines_lock);
	fd_install(fd, file);
	return fd;
free:
	kfree(m);
	return fd;
}

static int vcpu_reserve(void **reserved, void **run)
{
	struct processor *p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!p)
		return r;
	mutex_init(&p->running);
	if (!host_linux_fpu_init(&p->fpu))
		goto free;
	p->run = alloc_pages_exact(RUN_BYTES, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!p->run)
		goto free_fpu;
	r = p->fd = get_unused_fd_flags(O_CLOEXEC);
	if (r < 0)
		goto free_run;
	p->file = anon_inode_getfile("kvm-vcpu", &vcpu_files, p, O_RDWR);
	if (IS_ERR(p->file)) {
		r = PTR_ERR(p->file);
		goto put_fd;
	}
	*reserved = p;
	*run = p->run;
	return 0;
put_fd:
	put_unused_fd(p->fd);
free_run:
	run_pages_free(p->run);
free_fpu:
	host_linux_fpu_fini(&p->fpu);
free:
	kfree(p);
	return r;
}

/* The rest goes when the file does: vcpu_release(). */
static void vcpu_unreserve(void *reserved)
{
	struct processor *p = reserved;

	put_unused_fd(p->fd);
	fput(p->file);
}

static int install_vcpu(struct vcpu *v, void *reserved)
{
	struct processor *p = reserved;
	struct machine *m = machine_find(door_vcpu_vm(v));
	int fd = p->fd;

	p->machine = m;
	p->v = v;
	spin_lock(&machines_lock);
	list_add(&p->link, &m->processors);
	spin_unlock(&machines_lock);
	refcount_inc(&m->files);
	fd_install(fd, p->file);
	return fd;
}

static const struct door module_door = {
	.install_vm = install_vm,
	.install_vcpu = install_vcpu,
	.install_stats = install_stats,
	.vcpu_reserve = vcpu_reserve,
	.vcpu_unreserve = vcpu_unreserve,
};

/* --- the system ---------------------------------------------------------------------------- */

static long system_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	return ioctl_on(NULL, NULL, request, arg);
}

static struct file_operations system_files = {
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = { .minor = KVM_MINOR, .name = "kvm", .fops = &system_files };

static DEFINE_MUTEX(owner_lock);
static struct module *the_owner;

int door_linux_open(const struct backend *be, struct module *owner)
{
	int r = -EBUSY;

	mutex_lock(&owner_lock);
	if (the_owner) {
		pr_err("another vendor module has /dev/kvm\n");
		goto out;
	}
	system_files.owner = vm_files.owner = vcpu_files.owner = stats_files.owner = owner;
	door_set_backend(be);
	r = misc_register(&device);
	if (r) {
		pr_err("/dev/kvm cannot be made: %d\n", r);
		door_set_backend(NULL);
		goto out;
	}
	the_owner = owner;
out:
	mutex_unlock(&owner_lock);
	return r;
}

/* No file is open: each keeps owner loaded. */
void door_linux_close(void)
{
	mutex_lock(&owner_lock);
	misc_deregister(&device);
	door_set_backend(NULL);
	the_owner = NULL;
	mutex_unlock(&owner_lock);
}

static int __init door_init(void)
{
	int r = host_linux_init();

	if (!r) {
		ioctl_set_door(&module_door);
		door_set_run_delay(run_delay);
	}
	return r;
}

static void __exit door_exit(void)
{
	host_linux_fini();
}

module_init(door_init);
module_exit(door_exit);

MODULE_ALIAS_MISCDEV(KVM_MINOR);
MODULE_ALIAS("devname:kvm");
MODULE_DESCRIPTION("anykvm: a hypervisor with the KVM API");
MODULE_AUTHOR("The anykvm authors");
MODULE_LICENSE("GPL");

/*
 * seccomp.c: which kernel calls the agent and every command may make.
 *
 * Covers: namespaces, mounts, kernel keys, asynchronous rings, BPF, modules, clocks, sockets other than local and
 * internet ones, calls that reach across sandboxes, taking the agent's id. Does not cover: bugs in the calls allowed.
 *
 * The architecture is checked first: a list of x86-64 numbers says nothing about `int 0x80`. clone3 answers "not
 * implemented", because its arguments live in memory where a filter cannot look; libraries then use clone, whose flags
 * are a plain argument. Integer arguments are compared on their low 32 bits, as the kernel does.
 */
#include "light.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "no filter for this architecture"
#endif

#define PROGRAM 700
static struct sock_filter program[PROGRAM];
static unsigned short count;

static void emit(uint16_t code, uint8_t yes, uint8_t no, uint32_t k) {
  if (count < PROGRAM) program[count++] = (struct sock_filter){code, yes, no, k};
}
static void answer(uint32_t action) { emit(BPF_RET | BPF_K, 0, 0, action); }
static void load(size_t at) { emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)at); }
static void load_nr(void) { load(offsetof(struct seccomp_data, nr)); }
static void load_arg(int i) { load(offsetof(struct seccomp_data, args) + 8u * (unsigned)i); }
static void deny(uint32_t nr, int error) {
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr);
  answer(SECCOMP_RET_ERRNO | (uint32_t)error);
}

/* A rule on arguments: begin(nr) ... finish(). Inside, the accumulator may be reloaded freely. */
static unsigned short rule_at;
static void begin(uint32_t nr) {
  rule_at = count;
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, nr);
}
static void finish(void) {
  load_nr();
  program[rule_at].jf = (uint8_t)(count - rule_at - 1);
}
static void deny_equal(int arg, uint32_t value, int error) {
  load_arg(arg);
  deny(value, error);
}
static void deny_bits(int arg, uint32_t bits, int error) {
  load_arg(arg);
  emit(BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
  answer(SECCOMP_RET_ERRNO | (uint32_t)error);
}
static void only(int arg, uint32_t mask, const uint32_t *values, int n, int error) {
  load_arg(arg);
  emit(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
  for (int i = 0; i < n; i++) emit(BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(n - i), 0, values[i]);
  answer(SECCOMP_RET_ERRNO | (uint32_t)error);
}

static const uint32_t refused[] = {
  /* the mount tree and the machine */
  SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_sethostname, SYS_setdomainname,
  SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_acct, SYS_quotactl,
  SYS_syslog, SYS_vhangup, SYS_nfsservctl, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
  428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */,
  442 /* mount_setattr */, 443 /* quotactl_fd */, 457 /* statmount */, 458 /* listmount */, 467 /* open_tree_attr */,
  463, 464, 465, 466 /* *xattrat */, 468, 469 /* file_*attr */, 459, 460, 461 /* lsm_* */,
  /* namespaces and handles that reach beyond paths */
  SYS_unshare, SYS_setns, SYS_name_to_handle_at, SYS_open_by_handle_at, 438 /* pidfd_getfd */, SYS_kcmp,
  SYS_process_vm_readv, SYS_process_vm_writev, 440 /* process_madvise */, 448 /* process_mrelease */,
  /* large attack surface, no use in a build or a test */
  SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_lookup_dcookie,
  SYS_fanotify_init, SYS_fanotify_mark, SYS_move_pages, SYS_migrate_pages, SYS_vmsplice, SYS_remap_file_pages,
  447 /* memfd_secret: pages that the memory group cannot reclaim */,
  /* what is in the page cache of shared files is a channel between sandboxes */
  451 /* cachestat */, SYS_mincore,
  SYS_io_setup /* the machine-wide aio table */,
#if defined(__x86_64__)
  SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_create_module,
  SYS_get_kernel_syms, SYS_query_module,
#endif
};
static const uint32_t absent[] = {435 /* clone3 */, 425, 426, 427 /* io_uring: its workers bypass this filter */};

static void rules_on_arguments(void) {
  static const uint32_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
  static const uint32_t types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW /* netlink; others need a capability */};
  static const uint32_t protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};
  static const uint32_t personalities[] = {0, 0xffffffff};
  begin(SYS_clone);
  deny_bits(0, 0x7E020000u | CLONE_NEWTIME, EPERM);
  finish();
  begin(SYS_socket); /* NETLINK_ROUTE is protocol 0, the only netlink family; vsock is not namespaced at all */
  only(0, ~0u, families, 4, EAFNOSUPPORT);
  only(1, 0xf, types, 4, ESOCKTNOSUPPORT);
  only(2, ~0u, protocols, 5, EPROTONOSUPPORT);
  finish();
  begin(SYS_socket); /* the protocol numbers mean something else there: 6 is TCP and also IPsec's netlink */
  load_arg(0);
  emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, AF_NETLINK);
  only(2, ~0u, protocols, 1, EPROTONOSUPPORT);
  finish();
  /* The agent's id: whoever had it could trace, limit or renice PID 1. */
  static const struct { uint32_t nr; int args; } identity[] = {
    {SYS_setuid, 1}, {SYS_setreuid, 2}, {SYS_setresuid, 3}, {SYS_setfsuid, 1}};
  for (int i = 0; i < 4; i++) {
    begin(identity[i].nr);
    for (int a = 0; a < identity[i].args; a++) deny_equal(a, AGENT_ID, EPERM);
    finish();
  }
  begin(SYS_prlimit64); /* own limits only */
  {
    static const uint32_t self[] = {0};
    only(0, ~0u, self, 1, EPERM);
  }
  finish();
  begin(SYS_ioctl); /* typing into a terminal, the console, line disciplines */
  deny_equal(1, 0x5412, EPERM);
  deny_equal(1, 0x541C, EPERM);
  deny_equal(1, 0x541D, EPERM);
  deny_equal(1, 0x5423, EPERM);
  finish();
  begin(SYS_personality);
  only(0, ~0u, personalities, 2, EPERM);
  finish();
  begin(SYS_seccomp); /* user notification would let a command answer another's calls */
  deny_bits(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EPERM);
  finish();
  begin(SYS_preadv2);
  deny_bits(5, 0x8 /* RWF_NOWAIT tells what is cached */, EOPNOTSUPP);
  finish();
  begin(SYS_fadvise64); /* DONTNEED evicts shared pages: claimed done, not done */
  deny_equal(3, 4, 0);
  finish();
  begin(SYS_madvise); /* likewise for a mapping: MADV_PAGEOUT */
  deny_equal(2, 21, 0);
  finish();
}

int install_seccomp(void) {
  count = 0;
  load(offsetof(struct seccomp_data, arch));
  emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NATIVE);
  answer(SECCOMP_RET_KILL_PROCESS);
  load_nr();
#if defined(__x86_64__)
  emit(BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000u); /* x32 numbers */
  answer(SECCOMP_RET_ERRNO | ENOSYS);
#endif
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) deny(absent[i], ENOSYS);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) deny(refused[i], EPERM);
  deny(SYS_sync, 0); /* would flush the whole host; a sandbox has nothing on disk */
  rules_on_arguments();
  answer(SECCOMP_RET_ALLOW);
  if (count >= PROGRAM) return -1;
  struct sock_fprog p = {count, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

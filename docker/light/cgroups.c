/*
 * cgroups.c: memory, processes and cores of a sandbox, on cgroup v1, v2 and the two together.
 *
 * Covers: a sandbox cannot take more memory (its files included), processes or cores than its limits; all sandboxes of
 * this machine together stay below a parent limit. Does not cover: kernel memory that v1 does not charge (open files,
 * socket buffers beyond TCP, file locks); those are bounded by RLIMIT_NOFILE times the process limit.
 *
 * Groups live at <hierarchy>/polygym/<owner>/<sandbox>. The owner's name carries pid namespace, pid and start time of
 * the host process, so that anybody can tell a dead owner from a recycled pid.
 */
#include "light.h"
#include <dirent.h>

struct cgroups groups = {.own = {-1, -1, -1, -1, -1}};
static char mounts[CG_KINDS][PATH_MAX];
static const char *const v1_names[CG_KINDS] = {"memory", "pids", "cpu", "cpuset", NULL};

static int has_word(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *p = list; (p = strstr(p, word)); p += n) {
    int starts = p == list || p[-1] == ',' || p[-1] == ' ';
    if (starts && (p[n] == 0 || p[n] == ',' || p[n] == ' ' || p[n] == '\n')) return 1;
  }
  return 0;
}

/* Finds the hierarchies in /proc/self/mountinfo: "... <root> <mount point> ... - <type> <source> <options>". */
static void find_mounts(void) {
  FILE *f = fopen("/proc/self/mountinfo", "re");
  char line[8192];
  while (f && fgets(line, sizeof line, f)) {
    char point[PATH_MAX], type[64], options[2048];
    char *dash = strstr(line, " - ");
    if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1) continue;
    if (sscanf(dash + 3, "%63s %*s %2047s", type, options) != 2) continue;
    if (!strcmp(type, "cgroup2")) snprintf(mounts[CG_UNIFIED], PATH_MAX, "%s", point);
    if (strcmp(type, "cgroup")) continue;
    for (int k = 0; k < CG_UNIFIED; k++)
      if (has_word(options, v1_names[k])) snprintf(mounts[k], PATH_MAX, "%s", point);
  }
  if (f) fclose(f);
}

void owner_name(char *into, size_t room) {
  char stat[1024] = {0};
  struct stat ns = {0};
  unsigned long long start = 0;
  int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  const char *after = n > 0 ? strrchr(stat, ')') : NULL;
  if (after) sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &start);
  syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &ns, 0);
  snprintf(into, room, "%lu-%d-%llu", (unsigned long)ns.st_ino, (int)getpid(), start);
}

static int copy_setting(int from, int to, const char *file) {
  char text[4096] = {0};
  int fd = openat(from, file, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  return n > 0 ? write_at(to, file, text) : -1;
}

static void parse_cpus(const char *list) {
  for (const char *p = list; *p >= '0' && *p <= '9';) {
    char *end;
    long a = strtol(p, &end, 10), b = *end == '-' ? strtol(end + 1, &end, 10) : a;
    for (long c = a; c <= b && groups.ncpus < 256; c++) groups.cpus[groups.ncpus++] = (int)c;
    p = *end == ',' ? end + 1 : end;
  }
}

void cpus_of_process(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (int c = 0; c < CPU_SETSIZE && groups.ncpus < 256; c++)
    if (CPU_ISSET(c, &set)) groups.cpus[groups.ncpus++] = c;
}

static int make_level(int parent, const char *name, int kind) {
  if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST) return -1;
  int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return -1;
  if (kind == CG_CPUSET) { /* an empty v1 cpuset refuses processes */
    if (copy_setting(parent, dir, "cpuset.cpus") < 0 || copy_setting(parent, dir, "cpuset.mems") < 0) return -1;
  }
  if (kind == CG_UNIFIED && groups.v2_controllers) {
    static const char *const each[] = {"+memory", "+pids", "+cpu", "+cpuset"};
    for (int i = 0; i < 4; i++) write_at(dir, "cgroup.subtree_control", each[i]);
  }
  return dir;
}

/* All sandboxes together: nine tenths of the machine's memory, three quarters of its pids. */
static void parent_limits(int kind, int dir) {
  char text[32];
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  snprintf(text, sizeof text, "%lld", (long long)pages / 10 * 9 * size);
  if (kind == CG_MEMORY) write_at(dir, "memory.limit_in_bytes", text);
  if (kind == CG_UNIFIED && groups.v2_controllers) write_at(dir, "memory.max", text);
  long most = read_long_at(AT_FDCWD, "/proc/sys/kernel/pid_max");
  snprintf(text, sizeof text, "%ld", most > 0 ? most / 4 * 3 : 24000);
  if (kind == CG_PIDS || (kind == CG_UNIFIED && groups.v2_controllers)) write_at(dir, "pids.max", text);
}

int cgroups_start(const char *owner) {
  char path[PATH_MAX + 32], list[4096] = {0};
  find_mounts();
  snprintf(path, sizeof path, "%s/cgroup.controllers", mounts[CG_UNIFIED]);
  int fd = mounts[CG_UNIFIED][0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd >= 0 && read(fd, list, sizeof list - 1) > 0) groups.v2_controllers = has_word(list, "memory") && has_word(list, "pids");
  if (fd >= 0) close(fd);
  for (int k = 0; k < CG_KINDS; k++) {
    if (!mounts[k][0]) continue;
    int top = open(mounts[k], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0) continue;
    if (k == CG_UNIFIED && groups.v2_controllers) write_at(top, "cgroup.subtree_control", "+memory +pids +cpu +cpuset");
    for (int tries = 0; tries < 10 && groups.own[k] < 0; tries++) { /* another host may remove the empty parent meanwhile */
      int all = make_level(top, "polygym", k);
      if (all < 0) break;
      parent_limits(k, all);
      groups.own[k] = make_level(all, owner, k);
      close(all);
    }
    close(top);
    if (groups.own[k] >= 0) groups.mask |= 1u << k;
  }
  if (groups.v2_controllers && groups.own[CG_UNIFIED] >= 0) groups.mask |= 1u << CG_MEMORY | 1u << CG_PIDS | 1u << CG_CPU | 1u << CG_CPUSET;
  const char *allowed = groups.own[CG_CPUSET] >= 0 ? "cpuset.cpus" : "cpuset.cpus.effective";
  int dir = groups.own[CG_CPUSET] >= 0 ? groups.own[CG_CPUSET] : groups.own[CG_UNIFIED];
  memset(list, 0, sizeof list);
  fd = dir < 0 ? -1 : openat(dir, allowed, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && read(fd, list, sizeof list - 1) > 0) parse_cpus(list);
  if (fd >= 0) close(fd);
  if (groups.ncpus == 0) cpus_of_process();
  return 0;
}

/* Cores for one sandbox, dealt round robin; the set makes nproc true inside. */
static void pick_cpus(uint32_t milli, char *list, size_t room) {
  int want = (int)((milli + 999) / 1000), at = 0;
  if (want > groups.ncpus) want = groups.ncpus;
  list[0] = 0;
  unsigned char chosen[256] = {0};
  for (int i = 0; i < want; i++) chosen[(groups.next_cpu + i) % groups.ncpus] = 1;
  groups.next_cpu = (groups.next_cpu + want) % groups.ncpus;
  for (int i = 0; i < groups.ncpus; i++)
    if (chosen[i]) at += snprintf(list + at, room - (size_t)at, "%s%d", at ? "," : "", groups.cpus[i]);
}

/* v1 core sets are shared by sandboxes with the same cores: making one rebuilds scheduler domains. */
static int cpuset_tasks(const char *list) {
  char name[300];
  int from = snprintf(name, sizeof name, "cpus-%.200s", list);
  for (int i = 0; i < from; i++) if (name[i] == ',') name[i] = '_';
  struct stat st;
  if (fstatat(groups.own[CG_CPUSET], name, &st, 0) < 0) {
    int dir = make_level(groups.own[CG_CPUSET], name, CG_CPUSET);
    if (dir < 0) return -1;
    write_at(dir, "cpuset.cpus", list);
    close(dir);
  }
  snprintf(name + from, sizeof name - (size_t)from, "/tasks");
  return openat(groups.own[CG_CPUSET], name, O_WRONLY | O_CLOEXEC);
}

static int set_number(int kind, const char *group, const char *file, uint64_t v) {
  char path[128], text[32];
  snprintf(path, sizeof path, "%s/%s", group, file);
  snprintf(text, sizeof text, "%llu", (unsigned long long)v);
  return write_at(groups.own[kind], path, text);
}

static void limits_v1(const char *name, const struct limits *l) {
  if (groups.own[CG_MEMORY] >= 0) {
    set_number(CG_MEMORY, name, "memory.limit_in_bytes", l->memory);
    set_number(CG_MEMORY, name, "memory.memsw.limit_in_bytes", l->memory);
    set_number(CG_MEMORY, name, "memory.kmem.tcp.limit_in_bytes", l->memory / 8);
  }
  if (groups.own[CG_PIDS] >= 0) set_number(CG_PIDS, name, "pids.max", l->processes);
  if (groups.own[CG_CPU] >= 0) set_number(CG_CPU, name, "cpu.cfs_quota_us", (uint64_t)l->milli_cpus * 100);
}

static void limits_v2(const char *name, const struct limits *l, const char *cpus) {
  char path[128], text[64];
  set_number(CG_UNIFIED, name, "memory.max", l->memory);
  set_number(CG_UNIFIED, name, "memory.swap.max", 0);
  set_number(CG_UNIFIED, name, "pids.max", l->processes);
  snprintf(path, sizeof path, "%s/cpu.max", name);
  snprintf(text, sizeof text, "%u 100000", l->milli_cpus * 100);
  write_at(groups.own[CG_UNIFIED], path, text);
  snprintf(path, sizeof path, "%s/cpuset.cpus", name);
  write_at(groups.own[CG_UNIFIED], path, cpus);
}

/*
 * Makes the groups of one sandbox. The child attaches itself by writing "0" to the `tasks` files that are opened here:
 * when the host writes the child's pid instead, an idle machine waits for an RCU grace period (11 ms).
 */
int cgroups_create(const char *name, const struct limits *l, int attach[CG_KINDS], int *nattach, int *into) {
  char path[64], cpus[1024];
  *nattach = 0;
  *into = -1;
  pick_cpus(l->milli_cpus, cpus, sizeof cpus);
  for (int k = 0; k < CG_KINDS; k++) {
    if (groups.own[k] < 0 || k == CG_CPUSET) continue;
    if (mkdirat(groups.own[k], name, 0755) < 0 && errno != EEXIST) return -1;
  }
  limits_v1(name, l);
  if (groups.v2_controllers && groups.own[CG_UNIFIED] >= 0) limits_v2(name, l, cpus);
  for (int k = 0; k < CG_CPUSET; k++) {
    if (groups.own[k] < 0) continue;
    snprintf(path, sizeof path, "%s/tasks", name);
    int fd = openat(groups.own[k], path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    attach[(*nattach)++] = fd;
  }
  if (groups.own[CG_CPUSET] >= 0) {
    int fd = cpuset_tasks(cpus);
    if (fd < 0) return -1;
    attach[(*nattach)++] = fd;
  }
  if (groups.own[CG_UNIFIED] >= 0) *into = openat(groups.own[CG_UNIFIED], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return 0;
}

static int group_file(int kind, const char *name, const char *file) {
  char path[64];
  snprintf(path, sizeof path, "%s/%s", name, file);
  return groups.own[kind] < 0 ? -1 : openat(groups.own[kind], path, O_RDONLY | O_CLOEXEC);
}

/* An open counter of out-of-memory kills, for the agent to read; -1 where there is none. */
int cgroups_oom_file(const char *name) {
  if (groups.own[CG_MEMORY] >= 0) return group_file(CG_MEMORY, name, "memory.oom_control");
  return groups.v2_controllers ? group_file(CG_UNIFIED, name, "memory.events") : -1;
}

/* How long some process of the group could run and none did. The unified hierarchy counts it without controllers, too. */
int cgroups_pressure_file(const char *name) { return group_file(CG_UNIFIED, name, "cpu.pressure"); }

/* How long of that the group's own quota withheld. */
int cgroups_quota_file(const char *name) { return group_file(groups.own[CG_CPU] >= 0 ? CG_CPU : CG_UNIFIED, name, "cpu.stat"); }

void cgroups_kill(const char *name) {
  char path[64];
  if (groups.own[CG_UNIFIED] < 0) return;
  snprintf(path, sizeof path, "%s/cgroup.kill", name);
  write_at(groups.own[CG_UNIFIED], path, "1");
}

/* Page cache of a dead group pins it ("dying" groups); giving it back takes about 10 ms, so only the sweeper does it. */
void cgroups_force_empty(const char *name) {
  char path[64];
  if (groups.own[CG_MEMORY] < 0) return;
  snprintf(path, sizeof path, "%s/memory.force_empty", name);
  write_at(groups.own[CG_MEMORY], path, "0");
}

/* 0 when no group of this name is left. */
int cgroups_remove(const char *name) {
  int left = 0;
  for (int k = 0; k < CG_KINDS; k++) {
    if (groups.own[k] < 0 || k == CG_CPUSET) continue;
    if (unlinkat(groups.own[k], name, AT_REMOVEDIR) < 0 && errno != ENOENT) left = 1;
  }
  return left ? -1 : 0;
}

static void kill_members(int dir, const char *group) {
  char path[300], text[4096];
  snprintf(path, sizeof path, "%s/cgroup.procs", group);
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  for (char *p = text, *end; (n = strtol(p, &end, 10)) > 0 && end != p; p = end) kill((pid_t)n, SIGKILL);
}

/* Removes <hierarchy>/polygym/<owner>; processes in it are killed first. 0 when gone; `found` counts sandboxes. */
static int remove_owner(int kind, const char *owner, int *found) {
  char path[PATH_MAX + 64];
  snprintf(path, sizeof path, "%s/polygym/%s", mounts[kind], owner);
  DIR *d = opendir(path);
  if (!d) return errno == ENOENT ? 0 : -1;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_type != DT_DIR || e->d_name[0] == '.') continue;
    for (int tries = 0; tries < 200 && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0 && errno == EBUSY; tries++) {
      kill_members(dirfd(d), e->d_name);
      usleep(tries < 10 ? 500 : 5000);
    }
    if (e->d_name[0] == 's') ++*found;
  }
  closedir(d);
  return rmdir(path);
}

static void remove_empty_parent(int kind) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/polygym", mounts[kind]);
  rmdir(path); /* refused while another host has its groups there */
}

void cgroups_stop(const char *owner) {
  int found = 0;
  for (int k = 0; k < CG_KINDS; k++) {
    if (!mounts[k][0]) continue;
    remove_owner(k, owner, &found);
    remove_empty_parent(k);
  }
}

/* A zombie is dead: its descriptors, and with them its sandboxes, are gone. */
static int owner_lives(unsigned long long pid, unsigned long long start) {
  char path[64], stat[1024] = {0}, state = 'Z';
  unsigned long long began = 0;
  snprintf(path, sizeof path, "/proc/%llu/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, stat, sizeof stat - 1);
  close(fd);
  const char *after = n > 0 ? strrchr(stat, ')') : NULL;
  if (!after) return 0;
  sscanf(after + 2, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state, &began);
  return began == start && state != 'Z' && state != 'X';
}

/*
 * Removes the groups of owners that no longer live. Only owners of this pid namespace can be judged: those of another
 * container keep theirs, whatever their pid means here. Answers the number of sandboxes removed.
 */
int cgroups_reap(const char *skip) {
  struct stat ns = {0};
  int most = 0;
  find_mounts();
  if (stat("/proc/self/ns/pid", &ns) < 0) return 0;
  for (int k = 0; k < CG_KINDS; k++) {
    char path[PATH_MAX + 16];
    int found = 0;
    snprintf(path, sizeof path, "%s/polygym", mounts[k]);
    DIR *d = mounts[k][0] ? opendir(path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
      unsigned long long space, pid, start;
      if (sscanf(e->d_name, "%llu-%llu-%llu", &space, &pid, &start) != 3 || space != ns.st_ino) continue;
      if ((skip && !strcmp(skip, e->d_name)) || owner_lives(pid, start)) continue;
      remove_owner(k, e->d_name, &found);
    }
    if (d) closedir(d), remove_empty_parent(k);
    if (k != CG_CPUSET && found > most) most = found;
  }
  return most;
}

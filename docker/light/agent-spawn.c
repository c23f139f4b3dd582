/*
 * agent-spawn.c: starts commands under a supervisor and ends everything that a command started.
 *
 * Covers: a command that forks twice, changes session or group, or leaves its leader a zombie stays a descendant of its
 * supervisor, which adopts orphans; a time-out therefore ends all of it. A program that kills its supervisor loses
 * everything that runs in the sandbox (agent-jobs.c). Commands cannot trace, limit or signal-kill PID 1: other id,
 * not dumpable, and the kernel ignores signals to a namespace's PID 1 from inside. Does not cover: a command that starves
 * itself within its limits.
 */
#include "agent.h"
#include <dirent.h>
#include <sys/ioctl.h>

static void become_command(const struct spawn *s) {
  sigset_t none;
  /* What is ignored stays ignored over exec, and the host ignores the signals of a terminal. */
  for (int i = 1; i < SIGRTMIN; i++) {
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigaction(i, &normal, NULL);
  }
  sigemptyset(&none);
  setsid();
  for (int i = 0; i < 3; i++) dup2(s->fds[i], i);
  if (s->terminal) ioctl(0, TIOCSCTTY, 0); /* its session's own: Ctrl-C and the like reach it and nothing else */
  if (s->merge) dup2(1, 2);
  if (s->channel >= 0) dup2(s->channel, 3);
  for (int i = 0; i < 3; i++)
    if (s->extra[i] >= 0) dup2(s->extra[i], 64 + i);
  int first = s->channel >= 0 ? 4 : 3;
  if (s->extra[0] >= 0) {
    syscall(SYS_close_range, first, 63, 0);
    syscall(SYS_close_range, 67, ~0u, 0);
  } else {
    syscall(SYS_close_range, first, ~0u, 0);
  }
  if (agent.root_mode) {
    uid_t id = agent.command_id;
    syscall(SYS_setresgid, id, id, id);
    syscall(SYS_setresuid, id, id, id);
  }
  umask(022);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void say(const char *what, const char *name, int error) {
  char text[512];
  int n = snprintf(text, sizeof text, "%s%s%s: %s\n", what, what[0] ? " " : "", name, strerror(error));
  if (write(2, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1) < 0) _exit(126);
}

static void execute(const struct spawn *s) {
  if (chdir(s->cwd) < 0) {
    say("cannot enter", s->cwd, errno);
    _exit(126);
  }
  const char *path = "/usr/local/bin:/usr/bin:/bin";
  for (char **e = s->envp; *e; e++)
    if (!strncmp(*e, "PATH=", 5)) path = *e + 5;
  int error = ENOENT;
  if (strchr(s->argv[0], '/')) {
    execve(s->argv[0], s->argv, s->envp);
    error = errno;
  }
  for (const char *p = path; !strchr(s->argv[0], '/'); p++) {
    char whole[PATH_MAX];
    size_t n = strcspn(p, ":");
    int fits = snprintf(whole, sizeof whole, "%.*s/%s", (int)n, p, s->argv[0]) < (int)sizeof whole;
    if (fits && n > 0) execve(whole, s->argv, s->envp);
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    p += n;
    if (!*p) break;
  }
  say("", s->argv[0], error);
  _exit(error == ENOENT || error == ENOTDIR ? 127 : 126);
}

/* Whoever has most memory is ended first, and any command before PID 1. Programs may lower it again, not below 0. */
static void prefer_as_victim(void) {
  container_file_power(1);
  write_at(AT_FDCWD, "/proc/self/oom_score_adj", "500");
  container_file_power(0);
}

/* Tells the command's end on descriptor 3 and stays while anything it started lives: the tree keeps its root. */
static void adopt(pid_t command) {
  int status = EXITED_WITH(126);
  if (command < 0 && write(3, &status, sizeof status) < 0) _exit(1);
  for (;;) {
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno == ECHILD) _exit(0);
    if (pid != command) continue;
    if (write(3, &status, sizeof status) < 0) _exit(1);
    close(3);
    command = -1;
  }
}

static void supervise(const struct spawn *s, int status_fd) {
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  prctl(PR_SET_NAME, "supervisor");
  pid_t command = vfork();
  if (command == 0) {
    become_command(s);
    execute(s);
  }
  int kept = fcntl(status_fd, F_DUPFD_CLOEXEC, 3);
  if (kept != 3) dup3(status_fd, 3, O_CLOEXEC);
  for (int i = 0; i < 3; i++) close(i);
  syscall(SYS_close_range, 4, ~0u, 0); /* the command's pipes must end with the command */
  adopt(command);
}

pid_t spawn_supervised(const struct spawn *s, int *status_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    prefer_as_victim();
    setpriority(PRIO_PROCESS, 0, 0); /* the agent's own is higher where the host could raise it; nobody inside can */
    supervise(s, ends[1]);
  }
  int error = errno;
  close(ends[1]);
  if (pid < 0) close(ends[0]);
  else fcntl(ends[0], F_SETFL, O_NONBLOCK); /* only the agent's end: what it waits for comes as an event */
  *status_fd = ends[0];
  errno = error;
  return pid;
}

struct process {
  pid_t pid, parent;
  char state;
};
#define MAX_SEEN 8192

static int read_processes(struct process *list) {
  DIR *d = opendir("/proc");
  int n = 0;
  for (struct dirent *e; d && n < MAX_SEEN && (e = readdir(d));) {
    char path[300], text[512];
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    const char *after = strrchr(text, ')'); /* the name before it is the program's to choose */
    if (!after || sscanf(after + 1, " %c %d", &list[n].state, &list[n].parent) != 2) continue;
    list[n++].pid = atoi(e->d_name);
  }
  if (d) closedir(d);
  return n;
}

enum { NO, YES, UNKNOWN };

/* UNKNOWN: an ancestor ended between the reading of two entries, so the list no longer says whose child this is. */
static int descends(const struct process *list, int n, int i, pid_t root) {
  for (int steps = 0; steps < n; steps++) {
    pid_t parent = list[i].parent;
    if (parent == root) return YES;
    if (parent <= 1) return NO;
    for (i = 0; i < n && list[i].pid != parent; i++) {}
    if (i == n) return UNKNOWN;
  }
  return UNKNOWN;
}

static int was_stopped(const struct process *list, int n, pid_t pid) {
  for (int i = 0; i < n; i++) if (list[i].pid == pid) return list[i].state == 'T';
  return 0;
}

/* Everything but PID 1 stands still: a process with a stop signal pending cannot fork. Answers what was there before. */
static int stop_all(struct process *before) {
  int n = read_processes(before);
  kill(-1, SIGSTOP);
  return n;
}

/*
 * Ends all descendants of a supervisor, then the supervisor. First they are stopped, pass after pass, until a pass finds
 * nobody new: a stopped process cannot fork. A bomb that forks faster than it is found has the whole sandbox stand still
 * meanwhile. Answers -1 when passes do not end it: the caller then ends every process of the sandbox.
 */
int kill_tree(pid_t root) {
  static struct process list[MAX_SEEN], before[MAX_SEEN];
  int n = 0, running = 1, had = -1, left = 1;
  for (int pass = 0; pass < 3 && running; pass++) {
    running = 0;
    n = read_processes(list);
    for (int i = 0; i < n; i++) {
      if (list[i].pid == root || list[i].state == 'Z' || list[i].state == 'T') continue;
      int ours = descends(list, n, i, root);
      if (ours != NO) running |= ours == UNKNOWN || kill(list[i].pid, SIGSTOP) == 0;
    }
  }
  if (running) {
    had = stop_all(before);
    n = read_processes(list);
  }
  for (int pass = 0; pass < 300 && left; pass++) {
    left = 0;
    for (int i = 0; i < n; i++) {
      int ours = list[i].pid == root || list[i].state == 'Z' ? NO : descends(list, n, i, root);
      left += ours != NO; /* after an UNKNOWN the next look knows: orphans have the supervisor as parent by then */
      if (ours == YES) kill(list[i].pid, SIGKILL);
    }
    if (left == 0) kill(root, SIGKILL);
    if (pass > 20) usleep(500); /* a killed process needs a turn to end */
    n = read_processes(list);
  }
  for (int i = 0; had >= 0 && i < n; i++)
    if (list[i].pid != 1 && !was_stopped(before, had, list[i].pid)) kill(list[i].pid, SIGCONT);
  return left ? -1 : 0;
}

/* Ends every process but PID 1 and waits until they are gone: a killed one may still have a turn on a busy machine. */
void kill_all(void) {
  static struct process list[MAX_SEEN];
  for (int tries = 0; tries < 2000; tries++) {
    int left = 0;
    kill(-1, SIGKILL);
    int n = read_processes(list);
    for (int i = 0; i < n; i++) left += list[i].pid != 1 && list[i].state != 'Z' && list[i].state != 'X';
    if (left == 0) return;
    usleep(500);
  }
}

/*
 * agent-terminal.c: commands on a terminal of their own, and signals to commands.
 *
 * Covers: the terminal is made by this sandbox's own devpts (64 at most: the kernel's table is the machine's), its other
 * end is opened from the descriptor and never by a path that a program could replace; typing into it from inside is
 * denied (seccomp.c). A terminal that nobody can write to any more is an end of output. Does not cover: what a program
 * makes of its terminal; a line longer than 4,095 bytes is cut by the kernel, as on any terminal.
 */
#include "agent.h"
#include <sys/ioctl.h>

#define DEVPTS_MAGIC 0x1cd1

static struct winsize size_of(struct reader *r) {
  uint32_t columns = get_u32(r), rows = get_u32(r);
  return (struct winsize){.ws_col = columns > 0xffff ? 0xffff : (unsigned short)columns,
                          .ws_row = rows > 0xffff ? 0xffff : (unsigned short)rows};
}

/* u32 columns, u32 rows. Makes the job's terminal; answers the command's end of it, or -1. */
int terminal_open(struct job *j, struct reader *r) {
  struct winsize size = size_of(r);
  struct statfs fs;
  int unlock = 0, theirs = -1, ours = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (ours < 0) return -1;
  if (fstatfs(ours, &fs) < 0 || fs.f_type != DEVPTS_MAGIC) errno = ENODEV;
  else if (ioctl(ours, TIOCSPTLCK, &unlock) == 0 && ioctl(ours, TIOCSWINSZ, &size) == 0)
    theirs = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  container_file_power(1);
  /* The command opens it again as /dev/tty or by its name. */
  if (theirs >= 0 && agent.root_mode && fchown(theirs, agent.command_id, agent.command_id) < 0) close(theirs), theirs = -1;
  container_file_power(0);
  j->in = theirs < 0 ? -1 : fcntl(ours, F_DUPFD_CLOEXEC, 3);
  if (j->in < 0) {
    int error = errno;
    close(ours);
    if (theirs >= 0) close(theirs);
    errno = error;
    return -1;
  }
  j->out[OUT_STDOUT] = ours;
  return theirs;
}

/* u32 columns, u32 rows. The kernel tells the foreground programs by SIGWINCH */
void terminal_resize(uint32_t id, struct reader *r) {
  struct job *j = job_find(id);
  struct winsize size = size_of(r);
  if (j && j->flags & FLAG_PTY && j->in >= 0 && !r->bad) ioctl(j->in, TIOCSWINSZ, &size);
}

/* End of input: as typed by a person, once for a line that has begun and once for the end itself. */
void terminal_end_input(struct job *j) {
  if (write(j->in, "\4\4", 2) < 0) { /* nobody reads it any more */ }
}

/* The command is its supervisor's first child; later ones are orphans that it adopted. */
static pid_t command_of(const struct job *j) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", j->supervisor, j->supervisor);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  return atoi(text);
}

/* u32 number. To the command and what is in its process group, as a terminal would; not after its end. */
void job_signal(uint32_t id, struct reader *r) {
  struct job *j = job_find(id);
  uint32_t number = get_u32(r);
  if (!j || r->bad || number < 1 || number >= NSIG || j->supervisor <= 0 || j->status < 0) return;
  pid_t pid = command_of(j);
  if (pid > 1 && kill(-pid, (int)number) < 0) kill(pid, (int)number); /* it may just be starting */
}

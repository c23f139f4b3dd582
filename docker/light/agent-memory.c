/*
 * agent-memory.c: the memory limit where there are no control groups (an ordinary user).
 *
 * Covers: ten times a second, while commands run, what all processes hold is added up; beyond the limit the largest is
 * killed and the command is told so. A per-process limit of the kernel (inside.c) stops single large leaps.
 * Does not cover: a burst between two looks; the self-check says that this limit is weaker than root's.
 */
#include "agent.h"
#include <dirent.h>

#define LOOK_MS 100

static uint32_t kills;
static double next_look;

uint32_t memory_kills(void) { return kills; }

double memory_deadline(void) {
  if (!agent.memory_limit) return NO_DEADLINE;
  for (int i = 0; i < MAX_JOBS; i++)
    if (agent.jobs[i].used) return next_look > 0 ? next_look : 1;
  return NO_DEADLINE;
}

static uint64_t field(const char *text, const char *name) {
  const char *p = strstr(text, name);
  return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

/* What is its own; pages shared between processes are told apart, so that they count once. */
static uint64_t resident(const char *pid, uint64_t *shared) {
  char path[300], text[4096];
  snprintf(path, sizeof path, "/proc/%s/status", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  *shared = field(text, "RssShmem:");
  return field(text, "RssAnon:");
}

void memory_look(void) {
  double now = now_ms();
  if (!agent.memory_limit || now < next_look) return;
  next_look = now + LOOK_MS;
  uint64_t sum = 0, most = 0, most_shared = 0;
  pid_t largest = 0;
  DIR *d = opendir("/proc");
  for (struct dirent *e; d && (e = readdir(d));) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    uint64_t shared = 0, bytes = resident(e->d_name, &shared);
    sum += bytes;
    if (shared > most_shared) most_shared = shared;
    bytes += shared;
    if (bytes > most && atoi(e->d_name) != 1) most = bytes, largest = atoi(e->d_name);
  }
  if (d) closedir(d);
  if (sum + most_shared <= agent.memory_limit || largest <= 1) return;
  kills++;
  kill(largest, SIGKILL);
  next_look = now + 5; /* look again soon: one kill may not be enough */
}

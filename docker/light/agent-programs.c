/*
 * agent-programs.c: which programs run now, so that those which end with a freeze can be named.
 *
 * Covers: supervisors, ended processes and the worker's own persistent shells do not count; the list is bounded. Does not
 * cover: what a program calls itself; the worker treats names as untrusted text. A shell's children do count.
 */
#include "agent.h"
#include <dirent.h>

#define MAX_SEEN 8192
#define MAX_NAMED 64 /* a fork bomb has one name; more different ones help nobody */

struct program {
  pid_t pid, parent;
  unsigned long long start;
  char name[20];
};

static int read_program(const char *pid, struct program *p) {
  char path[300], text[1024], state;
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  char *first = strchr(text, '('), *last = strrchr(text, ')'); /* the name between may hold anything, brackets too */
  static const char fields[] = " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
  if (!first || !last || sscanf(last + 1, fields, &state, &p->parent, &p->start) != 3 || state == 'Z' || state == 'X') return -1;
  p->pid = atoi(pid);
  snprintf(p->name, sizeof p->name, "%.*s", (int)(last - first - 1), first + 1);
  return 0;
}

static int read_all(struct program *list) {
  DIR *d = opendir("/proc");
  int n = 0;
  for (struct dirent *e; d && n < MAX_SEEN && (e = readdir(d));)
    if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_program(e->d_name, &list[n]) == 0) n++;
  if (d) closedir(d);
  return n;
}

/* The first child of its supervisor is the shell itself; later ones are what it left behind. */
static int is_shell(const struct program *list, int n, int at) {
  for (int i = 0; i < MAX_JOBS; i++) {
    const struct job *j = &agent.jobs[i];
    if (!j->used || !j->is_shell || j->status < 0 || j->supervisor != list[at].parent) continue;
    for (int k = 0; k < n; k++) {
      if (list[k].parent != j->supervisor || k == at) continue;
      if (list[k].start < list[at].start || (list[k].start == list[at].start && list[k].pid < list[at].pid)) return 0;
    }
    return 1;
  }
  return 0;
}

/* -> u32 count, u32 named, texts */
void programs_tell(uint32_t id) {
  static struct program list[MAX_SEEN];
  static int counted[MAX_SEEN];
  int n = read_all(list), count = 0;
  for (int i = 0; i < n; i++)
    if (list[i].pid != 1 && list[i].parent != 1 && !is_shell(list, n, i)) counted[count++] = i;
  size_t mark = frame_begin(&agent.out, id, 'o');
  put_u32(&agent.out, (uint32_t)count);
  put_u32(&agent.out, (uint32_t)(count < MAX_NAMED ? count : MAX_NAMED));
  for (int i = 0; i < count && i < MAX_NAMED; i++) put_text(&agent.out, list[counted[i]].name, strlen(list[counted[i]].name));
  frame_end(&agent.out, mark);
}

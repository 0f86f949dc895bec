#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exactnorm/state.hpp>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "state_bytes.hpp"
#include "state_format.hpp"

namespace exactnorm::state {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const char* what, int error = errno) {
  throw std::system_error(error, std::generic_category(), std::string(what) + " " + path.string());
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  /// -1 if opening failed.
  [[nodiscard]] int get() const { return fd_; }
  /// 0, or -1 with errno: some file systems report a failed write only now.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// A new file in a folder, removed again unless it is renamed.
class Temporary {
 public:
  Temporary(int folder, mode_t mode) : folder_(folder), file_(create(mode)) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (present_) {
      ::unlinkat(folder_, name_.c_str(), 0);
    }
  }

  Descriptor& file() { return file_; }
  /// 0, or -1 with errno.
  int rename(const char* name) {
    const int result = ::renameat(folder_, name_.c_str(), folder_, name);
    present_ = result != 0;
    return result;
  }

 private:
  int create(mode_t mode) {
    std::random_device random;
    for (;;) {
      std::array<char, 24> digits{};
      const std::uint64_t number = std::uint64_t{random()} << 32 | random();
      const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
      name_.assign(".exactnorm-").append(std::string_view(digits.data(), end)).append(".tmp");
      const int fd = ::openat(folder_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      if (fd >= 0 || errno != EEXIST) {
        present_ = fd >= 0;
        return fd;
      }
    }
  }

  int folder_;
  std::string name_;
  bool present_ = false;
  Descriptor file_;
};

void write_file(const fs::path& path, const Document& document) {
  // What a symbolic link points to is replaced, not the link.
  const fs::path target =
      fs::is_symlink(fs::symlink_status(path)) && fs::exists(path) ? fs::canonical(path) : path;
  const Descriptor folder(::open(target.has_parent_path() ? target.parent_path().c_str() : ".",
                                 O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) {
    fail(path, "cannot open the folder of");
  }
  const std::string name = target.filename();
  struct stat old = {};
  const bool exists = ::fstatat(folder.get(), name.c_str(), &old, 0) == 0;
  if (exists && !S_ISREG(old.st_mode)) {
    fail(path, "cannot replace what is not a regular file:", S_ISDIR(old.st_mode) ? EISDIR : EINVAL);
  }
  // Never readable by more than the old file, not even while it is written.
  Temporary temporary(folder.get(), exists ? old.st_mode & 0777 : 0666);
  const int fd = temporary.file().get();
  if (fd < 0) {
    fail(path, "cannot create a file beside");
  }
  if (exists && ::fchmod(fd, old.st_mode & 0777) != 0) {
    fail(path, "cannot copy the permissions of");
  }
  write_json(document, [&](std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(written));
      } else if (errno != EINTR) {
        fail(path, "cannot write");
      }
    }
  });
  if (::fsync(fd) != 0 || temporary.file().close() != 0) {
    fail(path, "cannot write");
  }
  if (temporary.rename(name.c_str()) != 0) {
    fail(path, "cannot replace");
  }
  // EINVAL: a file system that cannot flush a folder.
  if (::fsync(folder.get()) != 0 && errno != EINVAL) {
    fail(path, "cannot flush the folder of");
  }
}

/// The next bytes of a file, at most as many as fit; empty at the end.
std::string_view read_some(const fs::path& path, int fd, std::span<char> buffer) {
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count >= 0) {
      return {buffer.data(), static_cast<std::size_t>(count)};
    }
    if (errno != EINTR) {
      fail(path, "cannot read");
    }
  }
}

AnyState read_file(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
    fail(path, "cannot open");
  }
  std::vector<char> buffer(std::size_t{1} << 16);
  const auto more = [&] { return read_some(path, file.get(), buffer); };
  if (S_ISREG(status.st_mode)) {
    ByteSource source(more, static_cast<std::uint64_t>(status.st_size));
    return read(source);
  }
  // The reader must know how much can come at most, and a pipe does not tell.
  std::string text;
  for (std::string_view piece = more(); !piece.empty(); piece = more()) {
    text.append(piece);
  }
  ByteSource source(text);
  return read(source);
}

template <class Load>
auto naming(const fs::path& path, Load load) {
  try {
    return load();
  } catch (const StateError& error) {
    throw StateError(path.string() + ": " + error.what());
  }
}

}  // namespace
}  // namespace exactnorm::state

namespace exactnorm {

void save(const std::filesystem::path& path, const Moments& moments) {
  state::write_file(path, state::Document(moments));
}
void save(const std::filesystem::path& path, const GroupedMoments& groups) {
  state::write_file(path, state::Document(groups));
}
void save(const std::filesystem::path& path, const Normalization& layer) {
  state::write_file(path, state::Document(layer));
}

AnyState load(const std::filesystem::path& path) {
  return state::naming(path, [&] { return state::read_file(path); });
}
Moments load_moments(const std::filesystem::path& path) {
  return state::naming(path, [&] { return state::only<Moments>(state::read_file(path)); });
}
GroupedMoments load_grouped(const std::filesystem::path& path) {
  return state::naming(path, [&] { return state::only<GroupedMoments>(state::read_file(path)); });
}
Normalization load_normalization(const std::filesystem::path& path) {
  return state::naming(path, [&] { return state::only<Normalization>(state::read_file(path)); });
}

}  // namespace exactnorm

// SPDX-License-Identifier: MIT
#include "bind_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <limits>
#include <string>
#include <thread>

#include "file_descriptor.hpp"
#include "fork_guard.hpp"
#include "kernel_text.hpp"
#include "sysfs_files.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/use.hpp"

namespace uiovfio::detail {

namespace fs = std::filesystem;

namespace {

// A driver's probe function may take seconds; that of a change that takes longer hangs.
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{10};

/// The process that has written its number there and lives: the holder for its lifetime.
std::optional<int> holder_in(int file) {
    std::array<char, 16> text;
    const auto length = ::pread(file, text.data(), text.size(), 0);
    if (length <= 0) return std::nullopt;
    const auto number = to_number({text.data(), static_cast<std::size_t>(length)}, 10);
    if (!number || *number == 0 || *number > std::numeric_limits<int>::max()) return std::nullopt;
    const auto process = static_cast<int>(*number);
    return ::kill(process, 0) == 0 || errno == EPERM ? std::optional{process} : std::nullopt;
}

/// Nobody but its owner may put a record there, whatever the process lets others do with its files. The errno of the
/// failure, 0 for none.
int make_directory(const fs::path& directory) {
    std::error_code error;
    fs::create_directories(directory.parent_path(), error);
    if (error) return error.value();
    return ::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST ? 0 : errno;
}

[[noreturn]] void throw_held(const std::string& object, int process, const SysfsRoot& root) {
    const Holder holder{process, command_of(std::to_string(process), root)};
    throw Error{Errc::device_in_use, object, fmt::format("{} has bound it for as long as it runs", to_string(holder)),
                0, "end that process: it gives the device back"};
}

}  // namespace

/// The open file that has the lock. The kernel knows the lock by it, so that a child which has it open, too, would have
/// the lock for as long as it lives.
class BindLock::Held final : public ForkGuarded {
  public:
    /// No fork() comes between the file and its owner.
    void open(const fs::path& path) {
        ForkList::the().without_fork(
            [&] { file_ = FileDescriptor{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)}; });
    }
    [[nodiscard]] int get() const noexcept { return file_.get(); }
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(file_); }
    void close() noexcept { file_.reset(); }

  private:
    void give_up_to_parent() noexcept override { file_.reset(); }

    FileDescriptor file_;
};

bool BindLock::is_held() const noexcept { return held_ && *held_; }

BindLock::BindLock(const Bdf& bdf, const SysfsRoot& root, Span span) : held_{make_fork_guarded<Held>()} {
    const std::string object = to_string(bdf);
    const fs::path path = root.run / (object + ".lock");
    const int error = make_directory(root.run);
    held_->open(path);
    if (!*held_) {
        // Where the directory could not be made, that is the reason, not the file that is missing in it.
        const int reason = error != 0 ? error : errno;
        throw Error{Errc::permission_denied, object,
                    fmt::format("cannot keep the previous driver's name in {}", root.run.string()), reason,
                    "run as root"};
    }
    const int file = held_->get();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
        if (const auto holder = holder_in(file)) throw_held(object, *holder, root);
        if (std::chrono::steady_clock::now() > deadline)
            throw Error{Errc::device_in_use, object, "another process has been changing its driver for a long time", 0,
                        fmt::format("see which one with `fuser -v {}`", path.string())};
        std::this_thread::sleep_for(kPause);
    }
    // What a process that was killed has left there would name it.
    const std::string text = span == Span::lifetime ? std::to_string(::getpid()) : std::string{};
    if (::ftruncate(file, 0) != 0 || ::pwrite(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw Error{Errc::permission_denied, object, fmt::format("cannot write to {}", path.string()), errno,
                    "run as root"};
}

}  // namespace uiovfio::detail

// SPDX-License-Identifier: MIT
#include "uiovfio/bind.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "guarded.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

namespace fs = std::filesystem;

namespace {

// Some kernels refuse an unbind that comes while another is just being finished.
constexpr int kUnbindAttempts = 20;
constexpr std::chrono::milliseconds kUnbindPause{50};

[[noreturn]] void throw_write_failure(Errc otherwise, const std::string& object, const fs::path& file, int error) {
    if (error == EACCES || error == EPERM)
        throw Error{Errc::permission_denied, object, fmt::format("may not write to {}", file.string()), error,
                    "run as root"};
    throw Error{otherwise, object, fmt::format("the kernel refused what was written to {}", file.string()), error};
}

/// What bind() keeps for restore(): a file of three lines.
struct Record {
    std::string previous;           ///< the driver that had the device, or empty
    std::string previous_override;  ///< the override by which that one may have come
    std::string bound;              ///< the driver that bind() gave it to
};

std::optional<Record> read_record(const fs::path& file) {
    std::ifstream in{file};
    if (!in) return std::nullopt;
    Record record;
    std::getline(in, record.previous);
    std::getline(in, record.previous_override);
    std::getline(in, record.bound);
    return record;
}

/// A PCI function whose driver is being changed: the steps, each one file of sysfs.
class Binding {
  public:
    Binding(const Bdf& bdf, const SysfsRoot& root)
        : object_{to_string(bdf)}, root_{root}, directory_{detail::device_directory(root, bdf)} {
        std::error_code none;
        if (!fs::exists(directory_, none))
            throw Error{Errc::no_such_device, object_, "there is no PCI function at this address"};
    }

    [[nodiscard]] const std::string& object() const { return object_; }
    [[nodiscard]] std::string driver() const { return detail::link_name(directory_ / "driver"); }
    [[nodiscard]] std::string override_text() const {
        const std::string text = detail::read_text(directory_ / "driver_override").value_or("");
        return text == "(null)" ? std::string{} : text;
    }

    void require_driver(std::string_view driver) const {
        std::error_code none;
        if (driver.empty() || !fs::exists(driver_directory(driver), none))
            throw Error{Errc::no_such_driver, std::string{driver},
                        fmt::format("the kernel has no PCI driver of that name for {}", object_), 0,
                        fmt::format("load its module with `modprobe {}`", driver)};
    }

    /// An empty text clears it.
    void set_override(std::string_view driver) const {
        const fs::path file = directory_ / "driver_override";
        const int error = detail::write_text(file, std::string{driver} + "\n");
        if (error != 0) throw_write_failure(Errc::bind_failed, object_, file, error);
    }

    void unbind() const {
        const fs::path file = directory_ / "driver/unbind";
        int error = 0;
        for (int attempt = 0; attempt < kUnbindAttempts; ++attempt) {
            if (driver().empty()) return;
            error = detail::write_text(file, object_);
            if (error == 0) return;
            if (error != EINVAL && error != EBUSY && error != ENODEV) break;
            std::this_thread::sleep_for(kUnbindPause);
        }
        throw_write_failure(Errc::bind_failed, object_, file, error);
    }

    void bind(std::string_view driver) const {
        const fs::path file = driver_directory(driver) / "bind";
        const int error = detail::write_text(file, object_);
        if (error != 0 && this->driver() != driver) {
            if (error == EACCES || error == EPERM) throw_write_failure(Errc::bind_failed, object_, file, error);
            throw Error{Errc::bind_failed, object_, fmt::format("the driver {} did not take the device", driver),
                        error};
        }
    }

    /// Lets the kernel look for a driver by itself.
    void probe() const {
        const fs::path file = root_.sys / "bus/pci/drivers_probe";
        const int error = detail::write_text(file, object_);
        if (error != 0 && driver().empty() && (error == EACCES || error == EPERM))
            throw_write_failure(Errc::bind_failed, object_, file, error);
    }

    [[nodiscard]] fs::path record_file() const { return root_.run / object_; }
    [[nodiscard]] std::optional<Record> record() const { return read_record(record_file()); }
    void keep(const Record& record) const {
        std::error_code error;
        fs::create_directories(root_.run, error);
        std::ofstream out{record_file()};
        out << record.previous << '\n' << record.previous_override << '\n' << record.bound << '\n' << std::flush;
        // Where the directory could not be made, that is the reason, not the file that is missing in it.
        const int reason = error ? error.value() : errno;
        if (!out)
            throw Error{Errc::permission_denied, object_,
                        fmt::format("cannot keep the previous driver's name in {}", record_file().string()), reason,
                        "run as root"};
    }
    void forget() const noexcept {
        std::error_code none;
        fs::remove(record_file(), none);
    }

  private:
    [[nodiscard]] fs::path driver_directory(std::string_view driver) const {
        return root_.sys / "bus/pci/drivers" / std::string{driver};
    }

    std::string object_;
    SysfsRoot root_;
    fs::path directory_;
};

}  // namespace

std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root) {
    const Binding binding{bdf, root};
    binding.require_driver(driver);
    const std::string previous = binding.driver();
    if (previous == driver) return previous;
    const std::string previous_override = binding.override_text();
    const auto earlier = binding.record();
    // An earlier bind() knows which driver was the first, unless somebody else has bound the device since.
    const bool is_of_ours =
        earlier && (previous.empty() || previous == earlier->previous || previous == earlier->bound);
    Record record = is_of_ours ? *earlier : Record{previous, previous_override, {}};
    record.bound = driver;
    binding.keep(record);
    try {
        binding.set_override(driver);
        binding.unbind();
        binding.bind(driver);
    } catch (...) {
        std::error_code lost;  // the first failure is the one to tell
        detail::guarded(lost, [&] { binding.set_override(previous_override); });
        detail::guarded(lost, [&] {
            if (!previous.empty() && binding.driver().empty()) binding.bind(previous);
        });
        if (earlier)
            detail::guarded(lost, [&] { binding.keep(*earlier); });
        else
            binding.forget();
        throw;
    }
    return previous;
}

std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::bind(bdf, driver, root); });
}

std::string unbind(const Bdf& bdf, const SysfsRoot& root) {
    const Binding binding{bdf, root};
    const std::string previous = binding.driver();
    binding.unbind();
    binding.set_override("");
    return previous;
}

std::string unbind(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::unbind(bdf, root); });
}

std::string restore(const Bdf& bdf, const SysfsRoot& root) {
    const Binding binding{bdf, root};
    const auto record = binding.record();
    // With an override that names nothing else, the kernel would put the device back where it is.
    if (!record || binding.driver() != record->previous) binding.unbind();
    // A driver that came by an override, as vfio-pci does, would not take the device back without it.
    binding.set_override(record ? record->previous_override : std::string{});
    if (!record) {
        binding.probe();
    } else if (!record->previous.empty() && binding.driver() != record->previous) {
        binding.require_driver(record->previous);
        binding.bind(record->previous);
    }
    binding.forget();
    return binding.driver();
}

std::string restore(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::restore(bdf, root); });
}

std::optional<std::string> recorded_driver(const Bdf& bdf, const SysfsRoot& root) {
    const auto record = read_record(root.run / to_string(bdf));
    return record ? std::optional{record->previous} : std::nullopt;
}

ScopedBinding::ScopedBinding(const Bdf& bdf, std::string_view driver, SysfsRoot root)
    : bdf_{bdf}, root_{std::move(root)}, previous_{uiovfio::bind(bdf, driver, root_)}, bound_{previous_ != driver} {}

ScopedBinding::ScopedBinding(ScopedBinding&& other) noexcept
    : bdf_{other.bdf_},
      root_{std::move(other.root_)},
      previous_{std::move(other.previous_)},
      bound_{std::exchange(other.bound_, false)} {}

ScopedBinding& ScopedBinding::operator=(ScopedBinding&& other) noexcept {
    if (this != &other) {
        restore_quietly();
        bdf_ = other.bdf_;
        root_ = std::move(other.root_);
        previous_ = std::move(other.previous_);
        bound_ = std::exchange(other.bound_, false);
    }
    return *this;
}

ScopedBinding::~ScopedBinding() { restore_quietly(); }

void ScopedBinding::restore_quietly() noexcept {
    std::error_code lost;  // nobody is there to be told
    if (std::exchange(bound_, false)) uiovfio::restore(bdf_, root_, lost);
}

}  // namespace uiovfio

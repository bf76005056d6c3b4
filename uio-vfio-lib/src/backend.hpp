// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The seam behind which the ways to reach a device differ. Private: what the public classes promise is checked once,
/// in them; a backend does what it is told and throws Error when that fails.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fork_guard.hpp"
#include "trace_sink.hpp"
#include "uiovfio/backends.hpp"
#include "uiovfio/bdf.hpp"
#include "uiovfio/device.hpp"
#include "uiovfio/device_events.hpp"
#include "uiovfio/dma.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

inline constexpr unsigned kBarCount = 6;

/// Part of a region, in bytes from its start.
struct Area {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// What a BAR is; size 0 for one that the device does not implement.
struct BarInfo {
    std::uint64_t size = 0;
    bool is_64bit = false;
    bool is_prefetchable = false;
    bool is_io = false;
};

/// The kernel has fewer vectors than were to be armed, and armed none.
class FewerVectors : public Error {
  public:
    FewerVectors(unsigned can_be_had, std::string object, std::string what_was_wrong, int system_errno = 0,
                 std::string remedy = {})
        : Error{Errc::interrupt_capacity, std::move(object), std::move(what_was_wrong), system_errno,
                std::move(remedy)},
          available{can_be_had} {}

    unsigned available;  ///< 0 where the kernel does not tell
};

/// A device that is open. Functions may be called from any thread, except close(), which nothing races with.
class Backend : public ForkGuarded {
  public:
    explicit Backend(const Bdf& bdf) : object_{to_string(bdf)} {}
    ~Backend() override = default;

    [[nodiscard]] virtual const BackendTraits& traits() const noexcept = 0;
    [[nodiscard]] std::string_view name() const noexcept { return traits().name; }
    /// The device's name in error messages.
    [[nodiscard]] const std::string& object() const noexcept { return object_; }

    [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
    /// Throws Errc::closed, Errc::forked.
    void require_open() const {
        if (is_open()) return;
        if (is_parents())
            throw Error{Errc::forked, object_, "the device was opened before a fork(), by the parent process"};
        throw Error{Errc::closed, object_, "the device was closed"};
    }
    /// Errc::closed, Errc::forked, or Errc::device_gone once that is known, or nothing.
    [[nodiscard]] std::error_code status() noexcept {
        if (!is_open()) return make_error_code(is_parents() ? Errc::forked : Errc::closed);
        // Once it was gone it is asked again: a link that is being trained comes back.
        return is_gone_.load() && !check_presence() ? make_error_code(Errc::device_gone) : std::error_code{};
    }
    /// Throws what status() gives.
    void require_present();
    /// Asks configuration space whether the device is there, and remembers the answer for status().
    bool check_presence() noexcept;
    /// What to call when the device turns out to be gone; set before anybody else has this.
    void on_loss(std::function<void()> lost) { lost_ = std::move(lost); }

    /// Accesses to BARs through region_read() and region_write() that nobody answered.
    [[nodiscard]] virtual std::uint64_t unanswered() const noexcept { return unanswered_.load(); }
    void count_unanswered() noexcept { unanswered_.fetch_add(1); }
    /// Those that could not be made as they were asked for: how many, and why the last one.
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(); }
    [[nodiscard]] Errc refusal() const noexcept { return refusal_.load(); }
    void count_refused(Errc why) noexcept {
        refusal_.store(why);
        refused_.fetch_add(1);
    }
    /// Throws Errc::unsupported for what this backend cannot do, whatever the device: the caller of a function below
    /// that belongs to a feature has asked this first.
    void require(Feature feature) const;
    /// This process is a child, and the device its parent's.
    [[nodiscard]] bool is_parents() const noexcept { return parents_.load(std::memory_order_relaxed); }
    /// Why it cannot do that, as the end of a sentence; empty where it can, or the name says it all.
    [[nodiscard]] std::string_view reason(Feature feature) const noexcept {
        return traits().can(feature) ? std::string_view{} : why_not(feature);
    }
    /// The backend that this one records the use of; null for one that reaches a device itself.
    [[nodiscard]] virtual std::shared_ptr<Backend> inner() const noexcept { return nullptr; }
    /// Who is to be told of what goes past the backend.
    [[nodiscard]] const TraceSinks& trace() const noexcept { return trace_; }
    /// Ends all use of the device: interrupts, mappings, windows. Once.
    void close() noexcept {
        if (open_.exchange(false, std::memory_order_acq_rel)) do_close();
    }

    /// Held while the command register is read, changed and written; by the caller of reset(), too.
    [[nodiscard]] virtual std::mutex& command_mutex() noexcept { return command_mutex_; }
    /// Whether others have a use of the device beside this process: the Bus Master bit is theirs then.
    [[nodiscard]] virtual bool is_shared() const noexcept { return false; }

    // Configuration space; width 1, 2 or 4, aligned, within config_size(): kernels make one access of each.
    [[nodiscard]] virtual std::uint16_t config_size() const noexcept = 0;
    [[nodiscard]] virtual std::uint32_t config_read(std::uint16_t offset, unsigned width) = 0;
    virtual void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) = 0;

    // BARs; width 1, 2, 4 or 8, aligned, within the BAR. An access is one access of that width on the bus, or it throws
    // unsupported.
    [[nodiscard]] virtual BarInfo bar_info(unsigned bar) const = 0;
    [[nodiscard]] virtual bool is_mappable(unsigned bar, std::uint64_t offset, std::uint64_t length) const noexcept = 0;
    /// The address of a mappable piece, valid until this object is destroyed; after close() it reads all ones.
    [[nodiscard]] virtual volatile void* map(unsigned bar, std::uint64_t offset, std::uint64_t length) = 0;
    [[nodiscard]] virtual std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) = 0;
    virtual void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) = 0;

    // Interrupts. The caller keeps the order: one mode at a time, and the eventfds open until disarm().
    [[nodiscard]] virtual unsigned interrupt_capacity(InterruptMode /*mode*/) { return 0; }
    /// Connects vector i to event_fds[i], all or none. A vector whose descriptor is -1 is set aside: it is allocated,
    /// and silent until arm_some() connects it. Throws FewerVectors.
    virtual void arm(InterruptMode /*mode*/, std::span<const int> /*event_fds*/) { require(Feature::msix); }
    /// Connects vectors from `first` on in the mode in force, all or none, or silences those whose descriptor is -1.
    /// The others go on undisturbed. Throws FewerVectors.
    virtual void arm_some(InterruptMode mode, unsigned first, std::span<const int> event_fds);
    /// Whether arm_some() may go beyond the vectors that arm() had.
    [[nodiscard]] virtual bool adds_vectors(InterruptMode /*mode*/) const noexcept { return false; }
    virtual void disarm(InterruptMode /*mode*/) {}
    /// Fires an armed vector by software.
    virtual void trigger(InterruptMode /*mode*/, unsigned /*vector*/) { require(Feature::trigger); }
    /// Fires the vectors whose byte is not 0, from vector 0 on; those that are not connected stay silent.
    virtual void trigger_some(InterruptMode mode, std::span<const std::uint8_t> fire);
    virtual void mask_intx() { require(Feature::intx); }
    virtual void unmask_intx() { require(Feature::intx); }
    /// Whether reset() leaves what is armed as it is; otherwise it is disarmed before and armed again after.
    [[nodiscard]] virtual bool keeps_interrupts_over_reset() const noexcept { return false; }

    // What the kernel tells of the device.
    [[nodiscard]] virtual bool has_event(DeviceEvent /*event*/) const noexcept { return false; }
    /// Connects the event to the eventfd, or to none when it is -1. Stays so over resets.
    virtual void arm_event(DeviceEvent event, int event_fd);
    /// Raises an armed event by software.
    virtual void trigger_event(DeviceEvent event);

    // DMA, for Feature::dma; addresses and lengths are multiples of the smallest page. Devices of one IOMMU group share
    // their bus addresses, so who is where is known below this line only.
    [[nodiscard]] virtual std::vector<IovaRange> iova_ranges() { return {}; }
    [[nodiscard]] virtual std::uint64_t iova_page_sizes() { return 4096; }
    [[nodiscard]] virtual std::optional<std::uint64_t> mappings_left() { return std::nullopt; }
    [[nodiscard]] virtual std::vector<ReservedRegion> reserved_regions() { return {}; }
    /// At `wanted`, or where the backend chooses: never at 0. Gives where.
    virtual Iova dma_map(std::optional<Iova> /*wanted*/, std::span<std::byte> /*memory*/, DmaDirection /*direction*/) {
        require(Feature::dma);
        return {};
    }
    /// What dma_map() mapped. Throws short_unmap when less than `length` was mapped there; the addresses are free
    /// afterwards only if it does not throw.
    virtual void dma_unmap(Iova /*iova*/, std::uint64_t /*length*/) { require(Feature::dma); }
    /// Removes all mappings, where one call does; what is left of them ends with close().
    virtual void dma_unmap_all() noexcept {}

    [[nodiscard]] virtual bool can_reset() const noexcept = 0;
    /// Whether opening it was a reset that ended all DMA of the function. False where that is not known.
    [[nodiscard]] virtual bool was_reset() const noexcept { return false; }
    /// Resets the function. Interrupts are disarmed before, and the command register is written after, by the caller.
    virtual void reset() = 0;

  protected:
    virtual void do_close() noexcept = 0;
    /// The device is gone, or there again: mappings follow.
    virtual void presence_changed(bool /*is_present*/) noexcept {}
    /// For reason().
    [[nodiscard]] virtual std::string_view why_not(Feature /*feature*/) const noexcept { return {}; }
    /// While the backend is made.
    void set_trace(const TraceSinks& trace) noexcept { trace_ = trace; }

    /// Overridden where there is more to give up (open files, mapped BARs); calls this one first.
    void give_up_to_parent() noexcept override {
        parents_.store(true, std::memory_order_relaxed);
        open_.store(false, std::memory_order_release);
    }

  private:
    std::string object_;
    TraceSinks trace_;
    std::atomic<bool> open_{true};
    std::atomic<bool> parents_{false};
    std::atomic<std::uint64_t> questions_{0};  // whether the device is there
    std::mutex presence_mutex_;                // held while is_gone_, what follows and the mappings change
    std::uint64_t answered_ = 0;               // the latest question that has been
    std::atomic<bool> is_gone_{false};
    std::atomic<std::uint64_t> unanswered_{0};
    std::atomic<std::uint64_t> refused_{0};
    std::atomic<Errc> refusal_{Errc::unsupported};
    std::function<void()> lost_;
    std::mutex command_mutex_;
};

/// Each opens the function through the backend of that name, or throws what is in the way.
std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options);
std::shared_ptr<Backend> open_iommufd(const Bdf& bdf, const OpenOptions& options);
std::shared_ptr<Backend> open_uio(const Bdf& bdf, const OpenOptions& options);
std::shared_ptr<Backend> open_sysfs(const Bdf& bdf, const OpenOptions& options);
std::shared_ptr<Backend> open_vfio_noiommu(const Bdf& bdf, const OpenOptions& options);
std::shared_ptr<Backend> open_sim(const Bdf& bdf, const OpenOptions& options);

}  // namespace uiovfio::detail

namespace uiovfio {

/// Makes a Device of a backend, and finds the backend of a Device: for sim.hpp and the tests of this library.
class DeviceFactory {
  public:
    static Device make(const Bdf& bdf, const std::shared_ptr<detail::Backend>& backend, bool bus_master);
    /// Null for an empty device.
    static std::shared_ptr<detail::Backend> backend(const Device& device) noexcept;
};

}  // namespace uiovfio

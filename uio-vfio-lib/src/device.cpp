// SPDX-License-Identifier: MIT
#include "uiovfio/device.hpp"

#include <fmt/format.h>

#include <array>
#include <mutex>
#include <utility>

#include "backend.hpp"
#include "backend_list.hpp"
#include "backends/traced.hpp"
#include "dma_state.hpp"
#include "event_state.hpp"
#include "guarded.hpp"
#include "interrupt_state.hpp"
#include "mutation.hpp"
#include "obstacles.hpp"

namespace uiovfio {

namespace detail {

struct DeviceState {
    DeviceState(const Bdf& at, const std::shared_ptr<Backend>& with, ConfigSpace config_space,
                std::array<Bar, kBarCount> base_addresses)
        : bdf{at},
          backend{with},
          config{std::move(config_space)},
          bars{std::move(base_addresses)},
          interrupts{std::make_shared<InterruptState>(with)},
          events{std::make_shared<EventState>(with)},
          dma{std::make_shared<DmaState>(with)} {}

    const Bdf bdf;
    const std::shared_ptr<Backend> backend;
    const ConfigSpace config;
    const std::array<Bar, kBarCount> bars;
    const std::shared_ptr<InterruptState> interrupts;
    const std::shared_ptr<EventState> events;
    const std::shared_ptr<DmaState> dma;
    std::mutex reset_mutex;

    // What the user sees of these.
    std::unique_ptr<Interrupts> public_interrupts;
    std::unique_ptr<DeviceEvents> public_events;
    std::unique_ptr<DmaSpace> public_dma;
};

}  // namespace detail

namespace {

constexpr std::uint16_t kKeptOverReset = config::kCommandIo | config::kCommandMemory | config::kCommandBusMaster;

/// Where nothing that the library does needs it, turning it on is the user's business, or that of a driver which has
/// the device, too.
bool needs_bus_master(const detail::Backend& backend) noexcept {
    const BackendTraits& traits = backend.traits();
    return traits.can(Feature::dma) || traits.can(Feature::msi) || traits.can(Feature::msix);
}

using Open = std::shared_ptr<detail::Backend> (*)(const Bdf&, const OpenOptions&);

struct Opener {
    std::string_view backend;
    Open open;
};

constexpr std::array kOpeners{
    Opener{"vfio", detail::open_vfio},
    Opener{"iommufd", detail::open_iommufd},
    Opener{"uio", detail::open_uio},
    Opener{"sysfs", detail::open_sysfs},
    Opener{"vfio-noiommu", detail::open_vfio_noiommu},
    Opener{"sim", detail::open_sim},
};
static_assert(kOpeners.size() == detail::kBackends.size());

}  // namespace

Device::Device() noexcept = default;
Device::Device(Device&& other) noexcept = default;
Device& Device::operator=(Device&& other) noexcept {
    if (this != &other) {
        close();
        state_ = std::move(other.state_);
    }
    return *this;
}
Device::~Device() { close(); }
Device::Device(std::shared_ptr<detail::DeviceState> state) noexcept : state_{std::move(state)} {}

Device Device::open(const Bdf& bdf, const OpenOptions& options) {
    std::string_view name = options.backend;
    if (name == "auto") name = detail::automatic_backend(describe(bdf, options.root), options.root).name;
    for (const Opener& opener : kOpeners)
        if (opener.backend == name)
            return Device{
                make_state(bdf, detail::traced(bdf, opener.open(bdf, options), options.trace), options.bus_master)};
    throw Error{Errc::unknown_backend, fmt::format("\"{}\"", name)};
}

Device Device::open(const Bdf& bdf, const OpenOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return open(bdf, options); });
}

std::shared_ptr<detail::DeviceState> Device::make_state(const Bdf& bdf, const std::shared_ptr<detail::Backend>& backend,
                                                        bool bus_master) {
    const ConfigSpace config{backend};
    // Without memory space, an access to a mapped BAR is a SIGBUS; without bus mastering, the device is mute. But one
    // that was not reset may be at work for the program that had it before, with addresses that are now this program's.
    const std::uint16_t found = config.command();
    const unsigned kept = backend->is_shared() ? found : found & ~unsigned{config::kCommandBusMaster};
    const bool masters =
        bus_master && backend->was_reset() && needs_bus_master(*backend) && !detail::mutation::kNoBusMaster;
    const unsigned enable = config::kCommandMemory | (masters ? config::kCommandBusMaster : 0U);
    const auto command = static_cast<std::uint16_t>(kept | enable);
    if (command != found) config.write16(config::kCommand, command);

    std::array bars{Bar{backend, 0}, Bar{backend, 1}, Bar{backend, 2},
                    Bar{backend, 3}, Bar{backend, 4}, Bar{backend, 5}};
    auto state = std::make_shared<detail::DeviceState>(bdf, backend, config, std::move(bars));
    backend->on_loss([interrupts = std::weak_ptr{state->interrupts}, events = std::weak_ptr{state->events}] {
        if (const auto still = interrupts.lock()) still->lost();
        if (const auto still = events.lock()) still->lost();
    });
    state->public_interrupts.reset(new Interrupts{state->interrupts});
    state->public_events.reset(new DeviceEvents{state->events});
    state->public_dma.reset(new DmaSpace{state->dma});
    return state;
}

void Device::close() noexcept {
    if (!state_ || !state_->backend->is_open()) return;
    // The order matters: a device that is still a bus master would run into the mappings' end. Not through ConfigSpace,
    // which would not try where the device seems to be gone.
    std::error_code gone_already;
    if (!state_->backend->is_shared())
        detail::guarded(gone_already, [&] {
            const std::uint32_t command = state_->backend->config_read(config::kCommand, 2);
            state_->backend->config_write(config::kCommand, 2, command & ~std::uint32_t{config::kCommandBusMaster});
        });
    state_->interrupts->close();
    state_->events->close();
    state_->dma->close();
    state_->backend->close();
}

bool Device::is_open() const noexcept { return state_ && state_->backend->is_open(); }

const Bdf& Device::bdf() const noexcept {
    static const Bdf none;
    return state_ ? state_->bdf : none;
}

std::string_view Device::backend() const noexcept { return state_ ? state_->backend->name() : std::string_view{}; }

bool Device::can(Feature feature) const noexcept { return state_ && state_->backend->traits().can(feature); }

const detail::DeviceState& Device::state() const {
    if (!state_) throw Error{Errc::closed, "device", "no device is open here"};
    return *state_;
}

const ConfigSpace& Device::config() const { return state().config; }
Interrupts& Device::interrupts() const { return *state().public_interrupts; }
DeviceEvents& Device::events() const { return *state().public_events; }
DmaSpace& Device::dma() const { return *state().public_dma; }

const Bar& Device::bar(unsigned index) const {
    const auto& all = state().bars;
    if (index >= all.size() || all[index].size() == 0)
        throw Error{Errc::no_such_bar, fmt::format("{} BAR{}", state_->backend->object(), index)};
    return all[index];
}

const Bar* Device::bar(unsigned index, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return &bar(index); });
}

std::vector<Bar> Device::bars() const {
    std::vector<Bar> implemented;
    for (const Bar& bar : state().bars)
        if (bar.size() != 0) implemented.push_back(bar);
    return implemented;
}

bool Device::is_present() const noexcept { return is_open() && state_->backend->check_presence(); }

bool Device::can_reset() const noexcept { return is_open() && state_->backend->can_reset(); }

bool Device::was_reset() const noexcept { return is_open() && state_->backend->was_reset(); }

void Device::reset() {
    const auto& all = state();
    all.backend->require_present();
    all.backend->require(Feature::reset);
    if (!all.backend->can_reset())
        throw Error{Errc::unsupported, all.backend->object(), "the device cannot be reset by itself", 0,
                    "reset the whole slot, or take the device's power away"};
    const std::lock_guard lock{state_->reset_mutex};
    all.interrupts->reset_around([&] {
        const std::lock_guard command{all.backend->command_mutex()};
        const auto kept = static_cast<std::uint16_t>(all.config.command() & kKeptOverReset);
        all.backend->reset();
        const auto others = static_cast<std::uint16_t>(all.config.command() & ~kKeptOverReset);
        all.config.write16(config::kCommand, static_cast<std::uint16_t>(others | kept));
    });
}

void Device::reset(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { reset(); });
}

Device DeviceFactory::make(const Bdf& bdf, const std::shared_ptr<detail::Backend>& backend, bool bus_master) {
    return Device{Device::make_state(bdf, backend, bus_master)};
}

std::shared_ptr<detail::Backend> DeviceFactory::backend(const Device& device) noexcept {
    return device.state_ ? device.state_->backend : nullptr;
}

}  // namespace uiovfio

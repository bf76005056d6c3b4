// SPDX-License-Identifier: MIT
#include "uiovfio/bind.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "bind_lock.hpp"
#include "binding.hpp"
#include "guarded.hpp"
#include "obstacles.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

using detail::Before;
using detail::Binding;
using detail::BindLock;

namespace {

/// A function that has been bound, and what it was before.
struct Bound {
    Binding binding;
    std::optional<BindLock> lock;  ///< nothing where there is nothing to change, and no right to lock
    Before before;
    bool is_changed = false;
};

/// A device that has the driver already can be had by a user, who may not write where the locks are.
std::optional<BindLock> lock_for(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, BindLock::Span span) {
    try {
        return BindLock{bdf, root, span};
    } catch (const Error& error) {
        if (error.errc() != Errc::permission_denied || Binding{bdf, root}.driver() != driver) throw;
        return std::nullopt;
    }
}

void require_possible(const Binding& binding, std::string_view driver) {
    binding.require_driver(driver);
    if (binding.driver() != driver) binding.require_taken_by(driver);
}

/// In the order of their addresses, so that two processes that want the same do not wait for each other.
std::vector<Bound> take(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root,
                        BindLock::Span span) {
    std::vector<Bdf> sorted(functions.begin(), functions.end());
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    std::vector<Bound> all;
    all.reserve(sorted.size());
    for (const Bdf& bdf : sorted) require_possible(Binding{bdf, root}, driver);
    for (const Bdf& bdf : sorted) {
        std::optional<BindLock> lock = lock_for(bdf, driver, root, span);
        const Binding binding{bdf, root};
        all.push_back({binding, std::move(lock), binding.before()});
    }
    return all;
}

void undo(std::vector<Bound>& all, const BindOptions& options) noexcept {
    for (auto bound = all.rbegin(); bound != all.rend(); ++bound) {
        if (!bound->is_changed) continue;
        std::error_code lost;  // the first failure is the one to tell
        detail::guarded(lost, [&] { bound->binding.put_back(bound->before, options); });
    }
}

/// What a ScopedBinding ends with: only what it did itself is undone. By now the device may be somebody else's, who
/// bound it by hand, or the machine may have come to use it.
void give_back(const Bound& bound, std::string_view given, const BindOptions& options) {
    const Binding& binding = bound.binding;
    const std::string now = binding.driver();
    if (binding.is_gone() || (!now.empty() && now != given && now != bound.before.driver)) return binding.forget();
    if (now != bound.before.driver) binding.require_unused(options);
    binding.put_back(bound.before, options);
}

void change_all(std::vector<Bound>& all, std::string_view driver, const BindOptions& options) {
    for (const Bound& bound : all)
        if (bound.before.driver != driver) bound.binding.require_unused(options);
    try {
        for (Bound& bound : all) {
            if (bound.before.driver == driver) continue;
            bound.binding.change_to(driver, options);
            bound.is_changed = true;
        }
    } catch (...) {
        undo(all, options);
        throw;
    }
}

std::vector<std::string> previous_drivers(std::span<const Bdf> functions, const std::vector<Bound>& all) {
    std::vector<std::string> drivers;
    for (const Bdf& bdf : functions)
        for (const Bound& bound : all)
            if (bound.binding.bdf() == bdf) drivers.push_back(bound.before.driver);
    return drivers;
}

}  // namespace

std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, const BindOptions& options) {
    return bind_all({&bdf, 1}, driver, root, options).front();
}

std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, const BindOptions& options,
                 std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::bind(bdf, driver, root, options); });
}

std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept {
    return uiovfio::bind(bdf, driver, root, BindOptions{}, ec);
}

std::vector<std::string> bind_all(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root,
                                  const BindOptions& options) {
    std::vector<std::string> drivers;
    for (const Bdf& bdf : functions) {
        const Binding binding{bdf, root};
        require_possible(binding, driver);
        drivers.push_back(binding.driver());
    }
    // Where there is nothing to do, no rights are needed.
    if (std::all_of(drivers.begin(), drivers.end(), [&](const std::string& now) { return now == driver; }))
        return drivers;
    std::vector<Bound> all = take(functions, driver, root, BindLock::Span::change);
    std::vector<std::string> previous = previous_drivers(functions, all);
    change_all(all, driver, options);
    return previous;
}

std::vector<std::string> bind_all(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root,
                                  const BindOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return bind_all(functions, driver, root, options); });
}

std::string unbind(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options) {
    const Binding binding{bdf, root};
    const BindLock lock{bdf, root, BindLock::Span::change};
    const std::string previous = binding.driver();
    binding.require_unused(options);
    binding.unbind(options);
    binding.set_override("");
    return previous;
}

std::string unbind(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::unbind(bdf, root, options); });
}

std::string unbind(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return uiovfio::unbind(bdf, root, BindOptions{}, ec);
}

std::string restore(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options) {
    std::error_code none;
    if (!std::filesystem::exists(detail::device_directory(root, bdf), none))
        std::filesystem::remove(root.run / to_string(bdf), none);  // of no use to what is next in this slot
    const Binding binding{bdf, root};
    const BindLock lock{bdf, root, BindLock::Span::change};
    const auto record = binding.record();
    const bool has_another = !record && detail::read_record(root.run / to_string(bdf));
    if (has_another && binding.before().driver_override.empty()) {
        binding.forget();  // it is of the device that was in this slot before; this one has not been bound to another
                           // driver
    } else if (record) {
        if (binding.driver() != record->previous) binding.require_unused(options);
        binding.put_back({record->previous, record->previous_override, std::nullopt}, options);
    } else {
        binding.require_unused(options);
        binding.unbind(options);
        binding.set_override("");
        binding.probe();
        binding.forget();  // what is there and cannot be read
    }
    return binding.driver();
}

std::string restore(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return uiovfio::restore(bdf, root, options); });
}

std::string restore(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return uiovfio::restore(bdf, root, BindOptions{}, ec);
}

std::optional<std::string> recorded_driver(const Bdf& bdf, const SysfsRoot& root) {
    auto record = detail::read_record(root.run / to_string(bdf));
    std::error_code gone;
    if (record && std::filesystem::exists(detail::device_directory(root, bdf), gone))
        detail::guarded(gone, [&] { record = Binding{bdf, root}.record(); });
    return record ? std::optional{record->previous} : std::nullopt;
}

std::vector<Bdf> recorded_functions(const SysfsRoot& root) {
    std::vector<Bdf> functions;
    for (const std::string& name : detail::names_in(root.run))
        if (const auto bdf = Bdf::try_parse(name); bdf && to_string(*bdf) == name && recorded_driver(*bdf, root))
            functions.push_back(*bdf);
    std::sort(functions.begin(), functions.end());
    return functions;
}

namespace {

/// Bridges have a header of their own, which vfio-pci does not take. A host or ISA bridge has an ordinary one: it is
/// left to the machine, too, unless a driver has it that keeps the group from userspace.
bool is_bindable(const PciFunction& function) {
    constexpr std::uint32_t kBridges = 0x06;  // base class: PCI Code and ID Assignment Specification
    const bool is_of_the_machine = function.class_code >> 16 == kBridges;
    return !function.is_bridge && (!is_of_the_machine || !may_stay_in_group(function.driver));
}

}  // namespace

std::vector<Bdf> bindable_group(const Bdf& bdf, const SysfsRoot& root) {
    const PciFunction function = describe(bdf, root);
    std::vector<Bdf> members{bdf};
    for (const Bdf& member : function.group_members) {
        std::error_code gone;
        const PciFunction other = describe(member, root, gone);
        if (member != bdf && !gone && is_bindable(other)) members.push_back(member);
    }
    return members;
}

std::vector<Bdf> bindable_group(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return bindable_group(bdf, root); });
}

BindPlan plan_bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root) {
    const Binding binding{bdf, root};
    require_possible(binding, driver);
    const Before before = binding.before();
    BindPlan plan;
    plan.bdf = bdf;
    plan.now = before.driver;
    plan.then = driver;
    if (before.driver != driver) {
        plan.back = binding.next_record(before, driver).previous;
        plan.uses = uses_of(bdf, root);
    } else if (before.record) {
        plan.back = before.record->previous;
    }
    return plan;
}

BindPlan plan_bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return plan_bind(bdf, driver, root); });
}

struct ScopedBinding::Impl {
    std::vector<Bound> all;
    std::string driver;
    BindOptions options;
    std::string previous;
};

ScopedBinding::ScopedBinding(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, const BindOptions& options)
    : ScopedBinding{std::span{&bdf, 1}, driver, root, options} {}

ScopedBinding::ScopedBinding(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root,
                             const BindOptions& options)
    : impl_{std::make_unique<Impl>()} {
    if (functions.empty()) throw Error{Errc::invalid_argument, "ScopedBinding", "no function to bind"};
    impl_->all = take(functions, driver, root, BindLock::Span::lifetime);
    impl_->driver = driver;
    impl_->options = options;
    impl_->previous = previous_drivers(functions.first(1), impl_->all).front();
    change_all(impl_->all, driver, options);  // last: what fails after it would leave them with the new driver
}

ScopedBinding::ScopedBinding(ScopedBinding&& other) noexcept = default;

ScopedBinding& ScopedBinding::operator=(ScopedBinding&& other) noexcept {
    if (this != &other) {
        std::error_code lost;  // nobody is there to be told
        restore(lost);
        impl_ = std::move(other.impl_);
    }
    return *this;
}

ScopedBinding::~ScopedBinding() {
    std::error_code lost;  // nobody is there to be told
    restore(lost);
}

void ScopedBinding::restore() {
    if (!impl_) return;
    for (const Bound& bound : impl_->all)
        if (bound.lock && !bound.lock->is_held())
            throw Error{Errc::forked, to_string(bound.binding.bdf()),
                        "it was bound before a fork(), by the parent process"};
    std::exception_ptr first;
    for (auto bound = impl_->all.rbegin(); bound != impl_->all.rend(); ++bound) {
        if (!std::exchange(bound->is_changed, false)) continue;
        try {
            give_back(*bound, impl_->driver, impl_->options);
        } catch (...) {
            bound->is_changed = true;
            if (!first) first = std::current_exception();
        }
    }
    if (first) std::rethrow_exception(first);
}

void ScopedBinding::restore(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { restore(); });
}

void ScopedBinding::release() noexcept {
    if (impl_) impl_->all.clear();
}

const std::string& ScopedBinding::previous_driver() const noexcept {
    static const std::string none;
    return impl_ ? impl_->previous : none;
}

}  // namespace uiovfio

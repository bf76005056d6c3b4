// SPDX-License-Identifier: MIT
// The capability lists of configuration space that a hostile or broken device might show: they end, lie within it, and
// name no place twice.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <vector>

#include "backends/vfio.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"

namespace {

using uiovfio::Capability;

void check(bool holds) {
    if (!holds) std::abort();
}

/// A device whose configuration space is put in from outside.
class Subject {
  public:
    Subject() {
        constexpr const char* kAddress = "0000:01:00.0";
        tree_.add_function(kAddress);
        tree_.set_driver(kAddress, "vfio-pci");
        tree_.set_group(kAddress, 7);
        tree_.add_vfio_nodes(7);
        const auto bdf = uiovfio::Bdf::parse(kAddress);
        const uiovfio::OpenOptions options{.root = tree_.root};
        device_ = uiovfio::DeviceFactory::make(bdf, uiovfio::detail::open_vfio(bdf, options, kernel_), false);
    }

    const uiovfio::ConfigSpace& with(const std::uint8_t* data, std::size_t size) {
        const std::size_t used = std::min(size, kernel_.config.size());
        std::copy_n(data, used, kernel_.config.begin());
        std::fill(kernel_.config.begin() + static_cast<std::ptrdiff_t>(used), kernel_.config.end(), std::uint8_t{0});
        kernel_.log.clear();
        return device_.config();
    }

  private:
    uiovfio::test::FakeTree tree_;
    uiovfio::test::FakeKernel kernel_;
    uiovfio::Device device_;
};

void check_list(const std::vector<Capability>& list, bool extended, unsigned first, unsigned end) {
    std::set<std::uint16_t> places;
    for (const Capability& capability : list) {
        check(capability.extended == extended);
        check(capability.offset >= first && capability.offset < end && capability.offset % 4 == 0);
        check(places.insert(capability.offset).second);
        check(extended || (capability.id <= 0xff && capability.version == 0));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Subject subject;
    const uiovfio::ConfigSpace& config = subject.with(data, size);
    const auto list = config.capabilities();
    const auto extended = config.extended_capabilities();
    check_list(list, false, 0x40, 0x100);
    check_list(extended, true, 0x100, 0x1000);
    for (const Capability& capability : list) check(config.find(capability.id)->id == capability.id);
    for (const Capability& capability : extended) check(config.find_extended(capability.id)->id == capability.id);
    check(!config.find(0x100));
    return 0;
}
